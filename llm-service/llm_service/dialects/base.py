"""What a wire protocol has to know to speak with clients, with providers, and with every other dialect."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Event, Piece
from llm_service.canonical.request import CompletionRequest
from llm_service.errors import ProviderError

Body = dict[str, Any]


class StreamParser(ABC):
    """Reads one provider stream; it may remember what came before."""

    @abstractmethod
    def read(self, data: str) -> tuple[Event, ...]:
        """The meaning of one event's data. Raises ProviderError for an error inside the stream or unreadable data."""


class StreamRenderer(ABC):
    """Writes one stream to a client."""

    @abstractmethod
    def render(self, event: Event) -> bytes:
        """The frames that say `event`; empty where the dialect says nothing."""

    @abstractmethod
    def relay(self, piece: Piece) -> bytes:
        """The frames of a piece that came in this same dialect; its bytes are kept as they are."""

    @abstractmethod
    def end(self) -> bytes:
        """What closes a complete stream."""

    @abstractmethod
    def fail(self, error: Body) -> bytes:
        """What tells the client that the stream ended early; `error` is the dialect's own error body."""


class Dialect(ABC):
    """One wire protocol, both sides of it."""

    name: ClassVar[str]

    @abstractmethod
    def parse_request(self, body: Body) -> CompletionRequest:
        """Raises Unprocessable, naming the field that cannot be understood."""

    @abstractmethod
    def render_request(self, request: CompletionRequest, *, stream: bool) -> Body:
        """Raises Unprocessable, naming what this dialect cannot express."""

    @abstractmethod
    def readdress(self, body: Body, *, model: str, stream: bool) -> Body:
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
