"""Canonical events written as Anthropic's stream (https://platform.claude.com/docs/en/build-with-claude/streaming)."""

from typing import Any, assert_never

import msgspec

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
from llm_service.dialects.anthropic.calls import Calls
from llm_service.dialects.anthropic.seals import NAME, sealed
from llm_service.dialects.anthropic.usage import render_usage
from llm_service.dialects.anthropic.whole import head, render_citation, stopped
from llm_service.dialects.base import StreamRenderer
from shared.errors import DomainError, anthropic_error
from shared.events import Usage
from shared.ids import new_id
from shared.request_id import current_request_id

Json = dict[str, Any]


class AnthropicStreamRenderer(StreamRenderer):
    """One block is open at a time. What a stream ends with is held until `end`: its usage may come after its finish."""

    def __init__(self, *, model: str) -> None:
        self._id, self._model = new_id("msg"), model
        self._begun = self._relayed_end = False
        self._open: tuple[str, int] | None = None
        """Kind and number of the block that grows."""
        self._next = 0
        self._text_block = 0
        self._calls = Calls()
        self._refused = False
        self._finished: Finished | None = None
        self._usage = Usage()

    def relay(self, piece: Piece) -> bytes:
        self._relayed_end = self._relayed_end or any(isinstance(event, Ended) for event in piece.events)
        return piece.raw

    def end(self) -> bytes:
        if self._relayed_end:
            return b""
        frames = self._begin() + self._rest_of_calls() + self._close()
        delta = stopped(self._finished, called=self._calls.any, refused=self._refused)
        frames += _frame("message_delta", {"delta": delta, "usage": render_usage(self._usage)})
        return frames + _frame("message_stop", {})

    def fail(self, error: DomainError) -> bytes:
        told = anthropic_error(error, request_id=current_request_id())
        return _frame("error", {name: value for name, value in told.items() if name != "type"})

    def render(self, event: Event) -> bytes:
        match event:
            case Started():
                self._id, self._model = event.id or self._id, event.model or self._model
                return self._begin()
            case TextDelta():
                self._text_block = event.block
                return self._text("text", event.block, event.text)
            case RefusalDelta():
                self._refused = True
                return self._text("refusal", 0, event.text)
            case Cited():
                opening = self._let("text", self._text_block, {"type": "text", "text": ""})
                return opening + self._delta({"type": "citations_delta", "citation": render_citation(event.citation)})
            case ReasoningDelta():
                return self._thought(event)
            case ToolCallDelta():
                return b"".join(map(self._call, self._calls.add(event)))
            case NativeAdded():
                return self._whole_block(event.native.value) if event.native.dialect == NAME else b""
            case Finished():
                self._finished = event
                return b""
            case UsageCounted():
                self._usage = event.usage
                return b""
            case LogprobsTold() | MediaAdded() | Ended():
                return b""  # no word for the first two; `end` says the third
            case _:
                assert_never(event)

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return _frame("message_start", {"message": head(self._id, self._model)})

    def _text(self, kind: str, number: int, text: str) -> bytes:
        if not text:
            return b""
        return self._let(kind, number, {"type": "text", "text": ""}) + self._delta({"type": "text_delta", "text": text})

    def _thought(self, piece: ReasoningDelta) -> bytes:
        """A signature ends its block: the next thought is another."""
        frames = b""
        if piece.redacted is not None:
            frames += self._whole_block({"type": "redacted_thinking", "data": sealed(piece.redacted)})
        if piece.text:
            frames += self._let("thinking", 0, {"type": "thinking", "thinking": "", "signature": ""})
            frames += self._delta({"type": "thinking_delta", "thinking": piece.text})
        if piece.signature is not None:
            frames += self._signature(sealed(piece.signature))
        return frames

    def _signature(self, value: str, *, among_calls: bool = False) -> bytes:
        thinking = {"type": "thinking", "thinking": "", "signature": ""}
        frames = self._let("thinking", 0, thinking, among_calls=among_calls)
        return frames + self._delta({"type": "signature_delta", "signature": value}) + self._close()

    def _call(self, piece: ToolCallDelta) -> bytes:
        frames = b""
        if self._open != ("tool_use", piece.index):
            if piece.signature is not None:
                frames += self._close() + self._signature(sealed(piece.signature, of_call=True), among_calls=True)
            block = {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}}
            frames += self._let("tool_use", piece.index, block, among_calls=True)
        if piece.arguments:
            frames += self._delta({"type": "input_json_delta", "partial_json": piece.arguments})
        return frames

    def _let(self, kind: str, number: int, block: Json, *, among_calls: bool = False) -> bytes:
        """The block of that kind and number grows; begun where it is not the one that does."""
        if self._open == (kind, number):
            return b""
        frames = self._begin() + (b"" if among_calls else self._rest_of_calls()) + self._close()
        self._open = (kind, number)
        return frames + _frame("content_block_start", {"index": self._next, "content_block": block})

    def _rest_of_calls(self) -> bytes:
        return b"".join(map(self._call, self._calls.rest()))

    def _delta(self, delta: Json) -> bytes:
        return _frame("content_block_delta", {"index": self._next, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        self._next += 1
        return _frame("content_block_stop", {"index": self._next - 1})

    def _whole_block(self, block: Json) -> bytes:
        frames = self._begin() + self._rest_of_calls() + self._close()
        frames += _frame("content_block_start", {"index": self._next, "content_block": block})
        self._open = ("whole", self._next)
        return frames + self._close()


def _frame(kind: str, rest: Json) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **rest}))
