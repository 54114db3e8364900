"""What a running generation has said so far, in the shape in which it is saved."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, assert_never

from chat_service.generations.repository import Outcome, Said
from chat_service.running.errors import AnswerTooLong
from chat_service.running.trail import Spoken, step
from shared.errors import DomainError
from shared.events import (
    Delta,
    Done,
    Failed,
    Reasoning,
    Start,
    StreamEvent,
    ToolCall,
    ToolResult,
    UsageReport,
    decode_event,
)

LONGEST_ANSWER = 2_000_000
"""Characters of text, reasoning and calls together."""
MOST_EVENTS = 500_000


class Answer:
    """Collects events into what is saved of them."""

    def __init__(self, *, model: str | None) -> None:
        self.model = model
        self.provider: str | None = None
        self.usage: dict[str, Any] | None = None
        self._count = 0
        self._length = 0
        self._trail = bytearray()
        self._finish_reason: str | None = None
        self._cost: Decimal | None = None
        self._pieces: list[str] = []
        self._parts: list[dict[str, Any]] = []

    def take(self, event: Spoken) -> None:
        """Raises AnswerTooLong, and leaves the event out."""
        self._length += _length(event)
        if self._length > LONGEST_ANSWER or self._count >= MOST_EVENTS:
            raise AnswerTooLong(f"The answer was ended after {LONGEST_ANSWER} characters or {MOST_EVENTS} pieces.")
        self._count += 1
        match event:
            case Start():
                self.model, self.provider = event.model, event.provider
            case Delta():
                self._pieces.append(event.content)
            case Reasoning():
                self._add_reasoning(event.reasoning)
            case ToolCall():
                call = {"id": event.id, "name": event.name, "arguments": event.arguments}
                self._parts.append({"type": "tool_call", **call})
            case ToolResult():
                self._parts.append({"type": "tool_result", "id": event.tool_call_id, "result": event.result})
            case UsageReport():
                self.usage = event.usage
            case _:
                assert_never(event)

    def follow(self, event: Spoken) -> None:
        """Notes for the trail that this is how a part of what was taken is shown."""
        self._trail += step(event)

    @property
    def is_concluded(self) -> bool:
        """Whether the model has said that this is all."""
        return self._finish_reason is not None

    def conclude(self, done: Done) -> None:
        self._cost = None if done.cost_usd is None else Decimal(done.cost_usd)
        self.model = done.model or self.model
        self.provider = done.provider or self.provider
        self.usage = done.usage or self.usage
        self._finish_reason = done.finish_reason

    def said(self) -> Said:
        return Said(
            content="".join(self._pieces),
            parts=self._parts,
            model=self.model,
            provider=self.provider,
            usage=self.usage,
            trail=bytes(self._trail),
        )

    def outcome(self, status: str, problem: DomainError | None) -> Outcome:
        return Outcome(
            status=status,
            finish_reason="stopped" if status == "stopped" else self._finish_reason,
            cost_usd=self._cost,
            error=None if problem is None else error_of(problem),
        )

    def _add_reasoning(self, text: str) -> None:
        if self._parts and self._parts[-1]["type"] == "reasoning":
            self._parts[-1]["text"] += text
        else:
            self._parts.append({"type": "reasoning", "text": text})


def said_in(events: Iterable[str], *, model: str | None) -> Said:
    """What the events (their JSON, in order) of an answer add up to."""
    answer = Answer(model=model)
    for event in map(decode_event, events):
        assert not isinstance(event, Done | Failed)
        answer.take(event)
        answer.follow(event)
    return answer.said()


def _length(event: Spoken) -> int:
    match event:
        case Delta():
            return len(event.content)
        case Reasoning():
            return len(event.reasoning)
        case ToolCall():
            return len(event.name) + len(event.arguments)
        case ToolResult():
            return len(str(event.result))
        case _:
            return 0


def error_of(problem: DomainError) -> dict[str, Any]:
    """How a message keeps the reason of its early end."""
    return {"code": problem.code, "detail": storable(problem.detail), "status": problem.status}


def clean(event: StreamEvent) -> None:
    """Replaces what the database could not keep, so that what is shown and what is saved are the same."""
    for name in event.__struct_fields__:
        setattr(event, name, storable(getattr(event, name)))


def storable(value: Any) -> Any:
    """The same value without the character U+0000, which PostgreSQL has no place for."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case list():
            return [storable(each) for each in value]
        case dict():
            return {storable(key): storable(each) for key, each in value.items()}
        case _:
            return value
