"""Events collected into a whole answer: a whole answer is a stream, collected, so the two cannot disagree."""

from dataclasses import dataclass, field
from typing import assert_never

from llm_service.canonical.events import (
    Cited,
    Ended,
    Event,
    Finished,
    LogprobsTold,
    MediaAdded,
    NativeAdded,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageCounted,
)
from llm_service.canonical.request import (
    Audio,
    Citation,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
)
from shared.events import Usage


@dataclass(slots=True)
class _Words:
    """A block of text, reasoning or refusal that grows; `number` tells one text block from the next."""

    kind: type[Text | Reasoning | Refusal]
    number: int = 0
    said: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    signature: Signature | None = None

    def part(self) -> Part:
        text = "".join(self.said)
        if self.kind is Reasoning:
            return Reasoning(text=text, signature=self.signature)
        return Refusal(text) if self.kind is Refusal else Text(text, tuple(self.citations))


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    said: list[str] = field(default_factory=list)
    signature: Signature | None = None

    def part(self) -> ToolCall:
        return ToolCall(id=self.id, name=self.name, arguments="".join(self.said), signature=self.signature)


@dataclass(slots=True)
class Answer:
    """Grows by `add`; complete once it has `finished`."""

    id: str = ""
    model: str = ""
    created: int = 0
    finished: Finished | None = None
    usage: Usage | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list)
    refusal_logprobs: list[TokenLogprob] = field(default_factory=list)
    _blocks: list[_Words | _Call | Part] = field(default_factory=list)
    _calls: dict[int, _Call] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What was said, in its order."""
        return tuple(block.part() if isinstance(block, _Words | _Call) else block for block in self._blocks)

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def reasoning(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Reasoning))

    @property
    def refusal(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Refusal))

    @property
    def tool_calls(self) -> list[ToolCall]:
        return [call.part() for _, call in sorted(self._calls.items())]

    @property
    def media(self) -> list[Image | Audio]:
        return [part for part in self.parts if isinstance(part, Image | Audio)]

    def add(self, event: Event) -> None:  # noqa: C901 # one arm for each event of the union
        match event:
            case Started():
                self.id, self.model, self.created = event.id, event.model, event.created
            case TextDelta():
                self._words(Text, event.block).said.append(event.text)
            case Cited():
                self._cited().citations.append(event.citation)
            case LogprobsTold():
                (self.refusal_logprobs if event.refusal else self.logprobs).extend(event.tokens)
            case ReasoningDelta():
                self._add_reasoning(event)
            case RefusalDelta():
                self._words(Refusal).said.append(event.text)
            case ToolCallDelta():
                self._add_call(event)
            case MediaAdded():
                self._blocks.append(event.part)
            case NativeAdded():
                self._blocks.append(Opaque(native=event.native))
            case Finished():
                self.finished = event
            case UsageCounted():
                self.usage = event.usage
            case Ended():
                pass
            case _:
                assert_never(event)

    def _words(self, kind: type[Text | Reasoning | Refusal], number: int | None = None) -> _Words:
        """The block that grows; a new one where the last is of another kind, is signed, or has another number."""
        last = self._blocks[-1] if self._blocks else None
        if isinstance(last, _Words) and last.kind is kind and not last.signature and number in (None, last.number):
            return last
        fresh = _Words(kind, number=number or 0)
        self._blocks.append(fresh)
        return fresh

    def _cited(self) -> _Words:
        """The text block that was written last, whatever followed it."""
        written = (block for block in reversed(self._blocks) if isinstance(block, _Words) and block.kind is Text)
        return next(written, None) or self._words(Text)

    def _add_reasoning(self, piece: ReasoningDelta) -> None:
        if piece.redacted is not None:
            self._blocks.append(Reasoning(redacted=piece.redacted))
        if piece.text or piece.signature is not None:
            words = self._words(Reasoning)
            words.said.append(piece.text)
            words.signature = piece.signature

    def _add_call(self, piece: ToolCallDelta) -> None:
        call = self._calls.get(piece.index)
        if call is None:
            call = self._calls[piece.index] = _Call()
            self._blocks.append(call)
        call.id, call.name = call.id or piece.id, call.name or piece.name
        call.signature = call.signature or piece.signature
        call.said.append(piece.arguments)
