"""The two kinds of stream that leave this service: a dialect's own on `/v1/*`, ours on `/api/*`."""

from abc import ABC, abstractmethod
from decimal import Decimal
from typing import assert_never

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import (
    Cited,
    Ended,
    Event,
    Finished,
    LogprobsTold,
    MediaAdded,
    NativeAdded,
    Piece,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageCounted,
)
from llm_service.dialects.ingress import Ingress
from llm_service.routing.attempts import Attempt
from shared.errors import DomainError
from shared.events import Delta, Done, Failed, Reasoning, Start, StreamEvent, ToolCall, Usage, UsageReport, encode_event
from shared.ids import new_id
from shared.money import plain


class Writer(ABC):
    """Writes one stream. `begin` comes first; then pieces; then `end`, or at any time `fail`."""

    @abstractmethod
    def begin(self, committed: Attempt) -> bytes:
        """An attempt has committed."""

    @abstractmethod
    def write(self, piece: Piece) -> bytes:
        """The frames that say a piece; empty where there is nothing to say."""

    @abstractmethod
    def end(self, *, cost_usd: Decimal | None = None) -> bytes:
        """The frames that close a complete answer; what it cost, if that is known."""

    @abstractmethod
    def fail(self, error: DomainError) -> bytes:
        """The frames that close an answer that broke off, or never began."""


class DialectWriter(Writer):
    """What the dialect's own SDKs expect; bytes are relayed where the provider speaks the client's dialect."""

    def __init__(self, ingress: Ingress) -> None:
        self._dialect = ingress.dialect
        self._renderer = ingress.dialect.stream_renderer(ingress.answer_wishes)
        self._relays = False

    def begin(self, committed: Attempt) -> bytes:
        self._relays = committed.relays(self._dialect, stream=True)
        return b""

    def write(self, piece: Piece) -> bytes:
        if self._relays:
            return self._renderer.relay(piece)
        return b"".join(self._renderer.render(event) for event in piece.events)

    def end(self, *, cost_usd: Decimal | None = None) -> bytes:  # noqa: ARG002 # no dialect has a word for it
        return self._renderer.end()

    def fail(self, error: DomainError) -> bytes:
        return self._renderer.fail(error)


class NativeWriter(Writer):
    """The events of `shared.events`, numbered from 1."""

    def __init__(self) -> None:
        self._sequence = 0
        self._answer = Answer(id=new_id("cmpl"))
        self._model = self._provider = ""
        self._kept = False

    def begin(self, committed: Attempt) -> bytes:
        self._model, self._provider = committed.target.model, committed.target.provider.name
        self._kept = committed.age is not None
        return self._frame(Start(id=self._answer.id, model=self._model, provider=self._provider))

    def write(self, piece: Piece) -> bytes:
        return b"".join(self._say(event) for event in piece.events)

    def end(self, *, cost_usd: Decimal | None = None) -> bytes:
        usage = (self._answer.usage or Usage(estimated=True)).as_json() | ({"cached": True} if self._kept else {})
        calls = [ToolCall(id=c.id, name=c.name, arguments=c.arguments) for c in self._answer.tool_calls]
        done = Done(
            model=self._model,
            provider=self._provider,
            finish_reason=self._answer.finished.reason if self._answer.finished else "stop",
            usage=usage,
            cost_usd=None if cost_usd is None else plain(cost_usd),
        )
        last: list[StreamEvent] = [*calls, UsageReport(usage=usage), done]
        return b"".join(map(self._frame, last))

    def fail(self, error: DomainError) -> bytes:
        return self._frame(Failed(code=error.code, detail=error.detail, status=error.status))

    def _say(self, event: Event) -> bytes:
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text):
                return self._frame(Delta(content=text)) if text else b""
            case ReasoningDelta():
                return self._frame(Reasoning(reasoning=event.text)) if event.text else b""
            case ToolCallDelta() | Finished() | UsageCounted():
                self._answer.add(event)  # told whole, by `end`; what is said is not kept, however long it is
                return b""
            case Started() | Ended():
                return b""
            case Cited() | LogprobsTold() | MediaAdded() | NativeAdded():
                return b""  # our stream has no word for them
            case _:
                assert_never(event)

    def _frame(self, event: StreamEvent) -> bytes:
        self._sequence += 1
        return encode_event(event, sequence=self._sequence)
