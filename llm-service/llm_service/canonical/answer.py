"""Events collected into a whole answer: a whole answer is a stream, collected, so the two cannot disagree."""

from dataclasses import dataclass, field
from typing import assert_never

from llm_service.canonical.events import (
    Ended,
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageCounted,
)
from llm_service.canonical.request import ToolCall
from shared.events import Usage


@dataclass(slots=True)
class Answer:
    """Grows by `add`; complete once it has a `finish_reason`."""

    id: str = ""
    model: str = ""
    created: int = 0
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _refusal: list[str] = field(default_factory=list)
    _calls: dict[int, tuple[str, str, list[str]]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def refusal(self) -> str:
        return "".join(self._refusal)

    @property
    def tool_calls(self) -> list[ToolCall]:
        return [
            ToolCall(id=call_id, name=name, arguments="".join(arguments))
            for _, (call_id, name, arguments) in sorted(self._calls.items())
        ]

    def add(self, event: Event) -> None:
        match event:
            case Started():
                self.id, self.model, self.created = event.id, event.model, event.created
            case TextDelta():
                self._text.append(event.text)
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case RefusalDelta():
                self._refusal.append(event.text)
            case ToolCallDelta():
                self._add_call(event)
            case Finished():
                self.finish_reason = event.reason
            case UsageCounted():
                self.usage = event.usage
            case Ended():
                pass
            case _:
                assert_never(event)

    def _add_call(self, piece: ToolCallDelta) -> None:
        call_id, name, arguments = self._calls.get(piece.index, ("", "", []))
        arguments.append(piece.arguments)
        self._calls[piece.index] = (call_id or piece.id, name or piece.name, arguments)
