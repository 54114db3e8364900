"""OpenAI's Chat Completions (https://platform.openai.com/docs/api-reference/chat), as a dialect."""

from typing import ClassVar

import msgspec

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Event
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest
from llm_service.dialects.base import OURS, Body, Dialect, RawBody, StreamParser, StreamRenderer
from llm_service.dialects.openai.parse_answer import OpenAIStreamParser, parse_answer, parse_error
from llm_service.dialects.openai.parse_request import parse_request
from llm_service.dialects.openai.render_answer import OpenAIStreamRenderer, render_answer
from llm_service.dialects.openai.render_request import render_request
from llm_service.errors import ProviderError


class OpenAIDialect(Dialect):
    """Both sides of it; `parse_*` and `render_*` stand in the modules beside."""

    name: ClassVar[str] = "openai"
    output_limit: ClassVar[str] = "max_completion_tokens"

    def parse_request(self, body: Body) -> CompletionRequest:
        return parse_request(body)

    def render_request(self, request: CompletionRequest, *, stream: bool, losses: Losses) -> Body:
        body = {name: value for name, value in render_request(request, losses=losses).items() if name not in OURS}
        return _addressed(body, body.get("stream_options"), model=request.model, stream=stream)

    def readdress(self, fields: RawBody, *, model: str, stream: bool) -> Body:
        body: Body = {name: value for name, value in fields.items() if name not in OURS}
        options = msgspec.json.decode(fields["stream_options"]) if "stream_options" in fields else None
        return _addressed(body, options, model=model, stream=stream)

    def further_models(self, body: Body) -> list[str]:
        """OpenRouter's `models`, which it falls back to; what is no name there is none that anybody may use."""
        models = body.get("models")
        named = models if isinstance(models, list) else [] if models is None else [models]
        return [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in named]

    def stream_parser(self) -> StreamParser:
        return OpenAIStreamParser()

    def parse_answer(self, body: bytes) -> tuple[Event, ...]:
        return parse_answer(body)

    def parse_error(self, status: int, body: bytes) -> ProviderError:
        return parse_error(status, body)

    def stream_renderer(self, request: Body) -> StreamRenderer:
        options = request.get("stream_options") or {}
        return OpenAIStreamRenderer(model=str(request.get("model", "")), with_usage=bool(options.get("include_usage")))

    def render_answer(self, answer: Answer) -> Body:
        return render_answer(answer)


def _addressed(body: Body, stream_options: Body | None, *, model: str, stream: bool) -> Body:
    body["model"] = model
    body["stream"] = stream
    if stream:  # always ask for usage: what the client did not ask for is taken out of its answer
        body["stream_options"] = {**(stream_options or {}), "include_usage": True}
    else:
        body.pop("stream_options", None)
    return body
