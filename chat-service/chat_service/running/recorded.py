"""Answers that are saved, told once more as the events of their generation."""

from collections.abc import Iterator
from dataclasses import dataclass

from chat_service.messages.models import Message
from chat_service.messages.schemas import MessageError, MessageView, view_of
from chat_service.running.trail import Spoken, step, steps
from shared.errors import DomainError
from shared.events import Delta, Done, Failed, Reasoning, Start, ToolCall, ToolResult, UsageReport, encode_event

RETRY_LATER = (429, 503)


class EndedEarly(DomainError):
    """What the first sender was told in place of the answer, or after its first part."""

    title = "The answer ended early"

    def __init__(self, error: MessageError) -> None:
        super().__init__(error.detail)
        self.status = error.status  # type: ignore[misc] # known at run time only
        self.code = error.code  # type: ignore[misc]

    @property
    def headers(self) -> dict[str, str]:
        replayed = {"idempotency-replayed": "true"}
        return replayed | {"retry-after": "1"} if self.status in RETRY_LATER else replayed


@dataclass(frozen=True, slots=True)
class Saved:
    """A final answer as it can be read, and its trail."""

    view: MessageView
    trail: bytes

    @classmethod
    def of(cls, message: Message, *, conversation_id: str) -> "Saved":
        view = view_of(message, conversation_id=conversation_id)
        return cls(view, _plain_trail(view) if message.trail is None else message.trail)

    def frames(self, *, after: int) -> Iterator[bytes]:
        """What a reader misses who has seen the events up to the sequence `after`, up to the terminal one.

        Neighbours of text (or of reasoning) come as one event, with the sequence of the last of them.
        """
        last = 0
        pieces = _Pieces(self.view)
        for last, kind, length in _runs(self.trail, after=after):
            event = pieces.take(kind, length)
            if last > after:
                event.generation_id = self.view.generation_id or ""
                yield encode_event(event, sequence=last)
        if last + 1 > after:
            yield encode_event(terminal_of(self.view), sequence=last + 1)

    @property
    def has_words(self) -> bool:
        return bool(self.trail)

    @property
    def last_sequence(self) -> int:
        """That of the terminal event."""
        return sum(1 for _ in steps(self.trail)) + 1


def terminal_of(message: MessageView) -> Done | Failed:
    """The last event of a final answer's generation."""
    generation_id = message.generation_id or ""
    if error := message.error:
        return Failed(
            code=error.code,
            detail=error.detail,
            status=error.status,
            message_id=message.id,
            generation_id=generation_id,
        )
    return Done(
        message_id=message.id,
        conversation_id=message.conversation_id,
        generation_id=generation_id,
        model=message.model or "",
        provider=message.provider or "",
        finish_reason=message.finish_reason or "stop",
        usage=message.usage or {},
        cost_usd=message.cost_usd,
    )


def _plain_trail(view: MessageView) -> bytes:
    """Of answers from before there were trails: who answers, and the text at once."""
    start = step(Start(id="")) if view.provider is not None else b""
    return start + (step(Delta(content=view.content)) if view.content else b"")


def _runs(trail: bytes, *, after: int) -> Iterator[tuple[int, type[Spoken], int]]:
    """The steps of a trail, neighbours of one kind together: the last one's sequence, the kind, the length.

    What a reader has seen (up to the sequence `after`) and what not are never together.
    """
    run: tuple[int, type[Spoken], int] | None = None
    for sequence, (kind, length) in enumerate(steps(trail), start=1):
        if run is not None and run[1] is kind and kind in (Delta, Reasoning) and run[0] != after:
            run = sequence, kind, run[2] + length
            continue
        if run is not None:
            yield run
        run = sequence, kind, length
    if run is not None:
        yield run


class _Pieces:
    """Cuts an answer into its events, in their order."""

    def __init__(self, view: MessageView) -> None:
        self._view = view
        self._said = 0
        self._parts = iter(view.parts)
        self._thought = ""

    def take(self, kind: type[Spoken], length: int) -> Spoken:
        view = self._view
        if kind is Start:
            model, provider = view.model or "", view.provider or ""
            return Start(id=view.id, conversation_id=view.conversation_id, model=model, provider=provider)
        if kind is Delta:
            self._said += length
            return Delta(content=view.content[self._said - length : self._said])
        if kind is Reasoning:
            return Reasoning(reasoning=self._reasoning(length))
        if kind is UsageReport:
            return UsageReport(usage=view.usage or {})
        return self._call_or_result()

    def _reasoning(self, length: int) -> str:
        if not self._thought and length:
            self._thought = next(self._parts)["text"]
        piece, self._thought = self._thought[:length], self._thought[length:]
        return piece

    def _call_or_result(self) -> ToolCall | ToolResult:
        part = next(part for part in self._parts if part["type"] != "reasoning")
        if part["type"] == "tool_call":
            return ToolCall(id=part["id"], name=part["name"], arguments=part["arguments"])
        return ToolResult(tool_call_id=part["id"], result=part["result"])
