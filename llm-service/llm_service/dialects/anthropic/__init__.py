"""Anthropic's Messages (https://platform.claude.com/docs/en/api/messages), as a dialect."""

from typing import ClassVar

import msgspec

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Event
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest
from llm_service.dialects.anthropic.answers import AnthropicStreamParser, parse_answer
from llm_service.dialects.anthropic.asking import render_request
from llm_service.dialects.anthropic.errors import parse_error
from llm_service.dialects.anthropic.render import AnthropicStreamRenderer
from llm_service.dialects.anthropic.requests import further_models, has_own_fallbacks, parse_request
from llm_service.dialects.anthropic.seals import NAME, own_words
from llm_service.dialects.anthropic.whole import render_answer
from llm_service.dialects.base import OURS, Body, Dialect, RawBody, StreamParser, StreamRenderer
from llm_service.errors import ProviderError


class AnthropicDialect(Dialect):
    """Both sides of it; what it does stands in the modules beside."""

    name: ClassVar[str] = NAME
    headers: ClassVar[tuple[str, ...]] = ("anthropic-beta", "anthropic-version")
    token_ratio: ClassVar[float] = 1.2
    tokens_for_tools: ClassVar[int] = 346
    """https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview#pricing, Claude 4 with `auto`."""

    def parse_request(self, body: Body) -> CompletionRequest:
        return parse_request(body)

    def render_request(self, request: CompletionRequest, *, stream: bool, losses: Losses) -> Body:
        return {**render_request(request, losses=losses), "stream": stream}

    def ours(self, body: Body) -> Body:
        """Its own `fallbacks` are objects, or a word; ours are names."""
        return {**body, "fallbacks": None} if has_own_fallbacks(body) else body

    def further_models(self, body: Body) -> list[str]:
        return further_models(body)

    def readdress(self, fields: RawBody, *, model: str, stream: bool) -> Body:
        kept: Body = {name: value for name, value in fields.items() if name not in OURS}
        fallbacks = fields.get("fallbacks")
        if fallbacks is not None and has_own_fallbacks({"fallbacks": msgspec.json.decode(fallbacks)}):
            kept["fallbacks"] = fallbacks
        return {**kept, "messages": own_words(fields["messages"]), "model": model, "stream": stream}

    def stream_parser(self) -> StreamParser:
        return AnthropicStreamParser()

    def parse_answer(self, body: bytes) -> tuple[Event, ...]:
        return parse_answer(body)

    def parse_error(self, status: int, body: bytes) -> ProviderError:
        return parse_error(status, body)

    def stream_renderer(self, request: Body) -> StreamRenderer:
        return AnthropicStreamRenderer(model=str(request.get("model", "")))

    def render_answer(self, answer: Answer) -> Body:
        return render_answer(answer)
