"""Google's Gemini API (https://ai.google.dev/api/generate-content), as a dialect."""

from typing import ClassVar

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Event
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest
from llm_service.dialects.base import OURS, Body, Dialect, RawBody, StreamParser, StreamRenderer
from llm_service.dialects.gemini.errors import parse_error
from llm_service.dialects.gemini.parse_answers import GeminiStreamParser, parse_answer
from llm_service.dialects.gemini.parse_requests import parse_request
from llm_service.dialects.gemini.render_answers import GeminiStreamRenderer, render_answer
from llm_service.dialects.gemini.render_requests import render_request
from llm_service.errors import ProviderError

IN_THE_URL = ("model", "stream")
"""What Gemini is told by the address instead of the body."""


class GeminiDialect(Dialect):
    """Both sides of it; `parse_*` and `render_*` stand in the modules beside."""

    name: ClassVar[str] = "gemini"

    def parse_request(self, body: Body) -> CompletionRequest:
        return parse_request(body)

    def render_request(self, request: CompletionRequest, *, stream: bool, losses: Losses) -> Body:  # noqa: ARG002 # in the URL
        return render_request(request, losses=losses)

    def readdress(self, fields: RawBody, *, model: str, stream: bool) -> Body:  # noqa: ARG002 # in the URL
        return {name: value for name, value in fields.items() if name not in (*OURS, *IN_THE_URL)}

    def stream_parser(self) -> StreamParser:
        return GeminiStreamParser()

    def parse_answer(self, body: bytes) -> tuple[Event, ...]:
        return parse_answer(body)

    def parse_error(self, status: int, body: bytes) -> ProviderError:
        return parse_error(status, body)

    def stream_renderer(self, request: Body) -> StreamRenderer:
        return GeminiStreamRenderer(model=str(request.get("model", "")))

    def render_answer(self, answer: Answer) -> Body:
        return render_answer(answer)
