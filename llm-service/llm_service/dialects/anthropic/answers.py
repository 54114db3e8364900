"""What Anthropic answers, streamed or whole, read into canonical events.

A whole answer's blocks are read as if each began and ended at once, so the two share all they know.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from llm_service.canonical.events import (
    Cited,
    Ended,
    Event,
    Finished,
    FinishReason,
    NativeAdded,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageCounted,
)
from llm_service.canonical.request import Native
from llm_service.dialects.anthropic.blocks import parse_citation
from llm_service.dialects.anthropic.errors import in_band
from llm_service.dialects.anthropic.seals import NAME, opened
from llm_service.dialects.anthropic.usage import parse_usage
from llm_service.dialects.base import StreamParser
from llm_service.dialects.failures import unreadable
from shared.http.frames import Frame

Json = dict[str, Any]
_OBJECT = msgspec.json.Decoder(Json)

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
}
MISREAD = (AttributeError, KeyError, TypeError, ValueError, msgspec.DecodeError, RecursionError)


@dataclass(slots=True)
class _Block:
    """One block of the answer, while it grows. `call` is its number among the tool calls."""

    native: Json
    call: int | None = None
    begun: bool = False
    said: list[str] = field(default_factory=list)
    """Pieces of its `input`, as JSON text."""


class AnthropicStreamParser(StreamParser):
    """Reads a stream up to its `message_stop`. The finish is told there, so that a stream without one is cut."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._usage: Json = {}
        self._finish: tuple[Event, ...] = ()

    def read(self, frame: Frame) -> tuple[Event, ...]:
        try:
            return tuple(self._events(_OBJECT.decode(frame.data)))
        except MISREAD:
            raise unreadable(frame.data) from None

    def answer(self, message: Json) -> list[Event]:
        """A whole answer's events."""
        events = self._start(message)
        for index, block in enumerate(message["content"]):
            events += self._begin(index, block)
            events += self._stop(index)
        return [*events, *self._end(message, message.get("usage")), *self._finish, Ended()]

    def _events(self, told: Json) -> list[Event]:
        match told["type"]:
            case "message_start":
                return self._start(told["message"])
            case "content_block_start":
                return self._begin(told["index"], told["content_block"])
            case "content_block_delta":
                return self._grow(told["index"], told["delta"])
            case "content_block_stop":
                return self._stop(told["index"])
            case "message_delta":
                return self._end(told["delta"], told.get("usage"))
            case "message_stop":
                return [*self._finish, Ended()]
            case "error":
                raise in_band(told.get("error"))
            case _:  # a ping, or an event of tomorrow
                return []

    def _start(self, message: Json) -> list[Event]:
        started = Started(id=str(message.get("id") or ""), model=str(message.get("model") or ""))
        return [started, *self._counted(message.get("usage"))]

    def _begin(self, index: int, native: Json) -> list[Event]:
        block = self._blocks[index] = _Block(dict(native))
        match native["type"]:
            case "text":
                text = [self._text(index, _string(native["text"]))] if native.get("text") else []
                return [*text, *(one for each in native.get("citations") or [] for one in self._cite(index, each))]
            case "thinking":
                return _thought(native.get("thinking") or "", native.get("signature") or "")
            case "redacted_thinking":
                seal = opened(_string(native["data"]))
                return [ReasoningDelta(redacted=seal.signature)] if seal else []
            case "tool_use":
                block.call, self._calls = self._calls, self._calls + 1
                name = _string(native["name"])
                return [ToolCallDelta(index=block.call, id=_string(native["id"]), name=name)]
            case _:
                return []  # told whole, by `_stop`

    def _grow(self, index: int, delta: Json) -> list[Event]:
        match delta["type"]:
            case "text_delta":
                return [self._text(index, _string(delta["text"]))]
            case "citations_delta":
                return self._cite(index, delta["citation"])
            case "thinking_delta":
                return _thought(_string(delta["thinking"]), "")
            case "signature_delta":
                return _thought("", _string(delta["signature"]))
            case "input_json_delta":
                block, piece = self._blocks[index], _string(delta["partial_json"])
                block.said += [piece] if piece else []
                return [ToolCallDelta(index=block.call, arguments=piece)] if block.call is not None and piece else []
            case _:
                _add(self._blocks[index].native, delta)
                return []

    def _stop(self, index: int) -> list[Event]:
        block = self._blocks[index]
        if block.call is not None:  # one without parameters says nothing of its input, which is JSON all the same
            whole = msgspec.json.encode(block.native.get("input") or {}).decode()
            return [] if block.said else [ToolCallDelta(index=block.call, arguments=whole)]
        if block.native["type"] in ("text", "thinking", "redacted_thinking"):
            return []
        if block.said:
            block.native["input"] = msgspec.json.decode("".join(block.said))
        return [NativeAdded(Native(dialect=NAME, value=block.native))]

    def _end(self, told: Json, usage: Any) -> list[Event]:
        if reason := told.get("stop_reason"):
            details = told.get("stop_details") or {}
            explained = RefusalDelta(str(details["explanation"])) if details.get("explanation") else None
            reached = told.get("stop_sequence")
            finished = Finished(FINISH_REASONS.get(_string(reason), "stop"), reached, native=reason)
            self._finish = (explained, finished) if explained else (finished,)
        return self._counted(usage)

    def _counted(self, usage: Any) -> list[Event]:
        """What is told later replaces what was told before; what is not told again holds."""
        if not usage:
            return []
        self._usage |= {name: value for name, value in usage.items() if value is not None}
        return [UsageCounted(parse_usage(self._usage))]

    def _text(self, index: int, text: str) -> Event:
        if index in self._blocks:
            self._blocks[index].begun = True
        return TextDelta(text, index)

    def _cite(self, index: int, citation: Json) -> list[Event]:
        """A citation may come before the text that it is for: then that block begins with it."""
        cited = Cited(parse_citation(citation))
        return [cited] if self._blocks[index].begun else [self._text(index, ""), cited]


def _thought(text: str, signature: str) -> list[Event]:
    seal = opened(signature)
    return [ReasoningDelta(text=text, signature=seal.signature if seal else None)] if text or seal else []


def _add(native: Json, delta: Json) -> None:
    """A piece of a block that we do not know: texts grow, anything else is set."""
    for name, value in delta.items():
        if name != "type":
            before = native.get(name)
            native[name] = before + value if isinstance(before, str) and isinstance(value, str) else value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def parse_answer(body: bytes) -> tuple[Event, ...]:
    """Raises ProviderError where the body is no `message`."""
    try:
        message = _OBJECT.decode(body)
        if message.get("type") == "error":
            raise in_band(message.get("error"))
        return tuple(AnthropicStreamParser().answer(message))
    except MISREAD:
        raise unreadable(body) from None
