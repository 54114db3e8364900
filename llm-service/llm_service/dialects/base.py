"""What a wire protocol has to know to speak with clients, with providers, and with every other dialect."""

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, ClassVar

import msgspec

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Event, Piece
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest
from llm_service.errors import ProviderError
from shared.errors import DomainError
from shared.http.frames import Frame

Body = dict[str, Any]
RawBody = dict[str, msgspec.Raw]
"""A JSON object whose members are still as they came."""

OURS = ("fallbacks", "routing", "drop_params", "cache", "context")
"""Fields of a request, in every dialect, that are for us and not for the provider."""


class StreamParser(ABC):
    """Reads one provider stream; it may remember what came before."""

    @abstractmethod
    def read(self, frame: Frame) -> tuple[Event, ...]:
        """The meaning of one frame. Raises ProviderError for an error inside the stream or unreadable data."""


class StreamRenderer(ABC):
    """Writes one stream to a client."""

    @abstractmethod
    def render(self, event: Event) -> bytes:
        """The frames that say `event`; empty where the dialect says nothing (yet)."""

    @abstractmethod
    def relay(self, piece: Piece) -> bytes:
        """A piece that came in this same dialect: its bytes as they are, or nothing where the client did not ask."""

    @abstractmethod
    def end(self) -> bytes:
        """What closes a complete stream."""

    @abstractmethod
    def fail(self, error: DomainError) -> bytes:
        """What tells the client that the stream ended early."""


class Dialect(ABC):
    """One wire protocol, both sides of it."""

    name: ClassVar[str]
    headers: ClassVar[tuple[str, ...]] = ()
    """Headers of a request that are part of the dialect: a provider that speaks it is told them too."""
    token_ratio: ClassVar[float] = 1.0
    """How many tokens its models make of a text for one of `canonical.tokens`, about."""
    tokens_for_tools: ClassVar[int] = 0
    """What its provider says to a model that has tools, about."""
    output_limit: ClassVar[str] = "max_tokens"
    """The field of a client's request that says how long an answer may be."""

    @abstractmethod
    def parse_request(self, body: Body) -> CompletionRequest:
        """Raises Unprocessable, naming the field that cannot be understood.

        A client's dialect has `messages`: the last messages of the result are theirs, one for one.
        """

    @abstractmethod
    def render_request(self, request: CompletionRequest, *, stream: bool, losses: Losses) -> Body:
        """What this dialect cannot express goes to `losses`, which raises NotExpressible or remembers it."""

    def ours(self, body: Body) -> Body:
        """What of a request is for us: all of it, unless the dialect has a field of its own by one of our names."""
        return body

    def further_models(self, body: Body) -> list[str]:  # noqa: ARG002 # most have no such field
        """Models that a request names for its provider to use beside or instead of its `model`."""
        return []

    @abstractmethod
    def readdress(self, fields: RawBody, *, model: str, stream: bool) -> Body:
        """The same request for another model of the same dialect: unknown fields survive, ours are removed."""

    @abstractmethod
    def stream_parser(self) -> StreamParser: ...

    @abstractmethod
    def parse_answer(self, body: bytes) -> tuple[Event, ...]:
        """A whole answer as the events of its stream. Raises ProviderError."""

    @abstractmethod
    def parse_error(self, status: int, body: bytes) -> ProviderError:
        """What a provider that speaks this dialect means by an error answer."""

    @abstractmethod
    def stream_renderer(self, request: Body) -> StreamRenderer:
        """For a client that sent `request`."""

    @abstractmethod
    def render_answer(self, answer: Answer) -> Body: ...


def extra_fields(request: CompletionRequest, *, dialect: str, losses: Losses) -> Body:
    """The fields of the client's request without a canonical name, where `dialect` is the client's own."""
    fields: Body = {}
    for native, lose in ((request.hints, losses.ignore), (request.extra, partial(losses.drop, target=dialect))):
        if native is None:
            continue
        if native.dialect == dialect:
            fields |= native.value
            continue
        for field in native.value:
            lose(field)
    return fields
