"""Canonical events written as OpenAI's stream, and OpenAI's own events passed on as they are."""

import time
from typing import Any, assert_never

import msgspec

from llm_service.canonical.events import (
    Cited,
    Ended,
    Event,
    Finished,
    FinishReason,
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
from llm_service.dialects.base import StreamRenderer
from shared.errors import DomainError, openai_error
from shared.events import Usage
from shared.ids import new_id

DONE = b"data: [DONE]\n\n"
FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
    "pause": "stop",
}


class OpenAIStreamRenderer(StreamRenderer):
    """`with_usage`: the client asked for it with `stream_options.include_usage`."""

    def __init__(self, *, model: str, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._head: dict[str, Any] = {
            "id": new_id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }

    def relay(self, piece: Piece) -> bytes:
        if piece.events == (Ended(),):
            return b""  # `end` says it, so that it is said once
        if not self._with_usage and piece.events and all(isinstance(event, UsageCounted) for event in piece.events):
            return b""
        return piece.raw

    def render(self, event: Event) -> bytes:
        match event:
            case Started():
                self._head |= {"id": event.id or self._head["id"], "model": event.model or self._head["model"]}
                self._head["created"] = event.created or self._head["created"]
                return self._chunk({"role": "assistant", "content": "", "refusal": None})
            case TextDelta():
                return self._chunk({"content": event.text})
            case ReasoningDelta():
                return self._chunk({"reasoning_content": event.text})
            case RefusalDelta():
                return self._chunk({"refusal": event.text})
            case ToolCallDelta():
                return self._chunk({"tool_calls": [_call(event)]})
            case Finished():
                return self._chunk({}, finish_reason=FINISH_REASONS[event.reason])
            case UsageCounted():
                return self._frame({"choices": [], "usage": render_usage(event.usage)}) if self._with_usage else b""
            case Cited() | LogprobsTold() | MediaAdded() | NativeAdded() | Ended():
                return b""
            case _:
                assert_never(event)

    def end(self) -> bytes:
        return DONE

    def fail(self, error: DomainError) -> bytes:
        return b"data: " + msgspec.json.encode(openai_error(error)) + b"\n\n"

    def _chunk(self, delta: dict[str, Any], *, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._with_usage else {}
        return self._frame({"choices": [choice], **usage})

    def _frame(self, rest: dict[str, Any]) -> bytes:
        return b"data: " + msgspec.json.encode({**self._head, **rest}) + b"\n\n"


def _call(piece: ToolCallDelta) -> dict[str, Any]:
    call: dict[str, Any] = {"index": piece.index, "function": {"arguments": piece.arguments}}
    if piece.id:
        call |= {"id": piece.id, "type": "function"}
    if piece.name:
        call["function"]["name"] = piece.name
    return call


def render_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
