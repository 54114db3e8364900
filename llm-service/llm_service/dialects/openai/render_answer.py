"""Canonical events -> OpenAI's stream and whole answers; OpenAI's own events are passed on as they are."""

import time
from typing import Any, assert_never

import msgspec

from llm_service.canonical.answer import Answer
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
    TokenLogprob,
    ToolCallDelta,
    UsageCounted,
)
from llm_service.canonical.request import Audio, Citation, Image, Reasoning, Text, ToolCall
from llm_service.dialects.base import StreamRenderer
from llm_service.dialects.openai.reasoning import detail_of, sealed_call
from shared.errors import DomainError, openai_error
from shared.events import Usage
from shared.ids import new_id

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"
FINISH_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
}
ELSE = TextDelta | RefusalDelta | ToolCallDelta | MediaAdded | NativeAdded
"""What may be said beside thoughts."""


class OpenAIStreamRenderer(StreamRenderer):
    """`with_usage`: the client asked for it with `stream_options.include_usage`."""

    def __init__(self, *, model: str, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._usage: Usage | None = None
        self._thoughts = 0
        self._thinking = False
        self._characters = 0
        self._head: Json = {
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

    def render(self, event: Event) -> bytes:  # noqa: C901 # one arm for each event of the union
        if isinstance(event, ELSE):
            self._end_thought()
        match event:
            case Started():
                self._head |= {"id": event.id or self._head["id"], "model": event.model or self._head["model"]}
                self._head["created"] = event.created or self._head["created"]
                return self._chunk({"role": "assistant", "content": "", "refusal": None})
            case TextDelta():
                self._characters += len(event.text)
                return self._chunk({"content": event.text})
            case Cited():
                return self._chunk({"annotations": [_annotation(event.citation, end=self._characters)]})
            case LogprobsTold():
                return self._chunk({}, logprobs=_logprobs(event))
            case ReasoningDelta():
                return self._chunk(self._thought(event))
            case RefusalDelta():
                return self._chunk({"refusal": event.text})
            case ToolCallDelta():
                return self._chunk({"tool_calls": [_call(event)]})
            case MediaAdded(part=Image() as image):
                return self._chunk({"images": [_image(image)]})
            case MediaAdded(part=Audio() as audio):
                return self._chunk({"audio": {"data": audio.data}})
            case Finished():
                return self._chunk({}, finish_reason=FINISH_REASONS[event.reason])
            case UsageCounted():
                self._usage = event.usage  # it may grow until the end, and is told once
                return b""
            case NativeAdded() | MediaAdded() | Ended():
                return b""
            case _:
                assert_never(event)

    def end(self) -> bytes:
        if self._usage is None or not self._with_usage:
            return DONE
        return self._frame({"choices": [], "usage": render_usage(self._usage)}) + DONE

    def fail(self, error: DomainError) -> bytes:
        return b"data: " + msgspec.json.encode(openai_error(error)) + b"\n\n"

    def _thought(self, piece: ReasoningDelta) -> Json:
        """Thoughts are numbered as they are collected: a signature, or anything else that is said, ends one."""
        if piece.redacted is not None:
            self._end_thought()
        delta: Json = {"reasoning_content": piece.text} if piece.text else {}
        if (detail := detail_of(piece, index=self._thoughts)) is not None:
            delta["reasoning_details"] = [detail]
        self._thinking = True
        if piece.signature is not None or piece.redacted is not None:
            self._end_thought()
        return delta

    def _end_thought(self) -> None:
        self._thoughts += self._thinking
        self._thinking = False

    def _chunk(self, delta: Json, *, finish_reason: str | None = None, logprobs: Json | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        usage = {"usage": None} if self._with_usage else {}
        return self._frame({"choices": [choice], **usage})

    def _frame(self, rest: Json) -> bytes:
        return b"data: " + msgspec.json.encode({**self._head, **rest}) + b"\n\n"


def render_answer(answer: Answer) -> Json:
    message: Json = {
        "role": "assistant",
        "content": answer.text or None,
        "refusal": answer.refusal or None,
        "annotations": _annotations(answer),
    }
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if details := _details(answer):
        message["reasoning_details"] = details
    if answer.tool_calls:
        message["tool_calls"] = [_whole_call(call) for call in answer.tool_calls]
    elif not answer.refusal:
        message["content"] = answer.text
    if images := [_image(part) for part in answer.media if isinstance(part, Image)]:
        message["images"] = images
    if spoken := [part for part in answer.media if isinstance(part, Audio)]:
        message["audio"] = {"data": spoken[0].data, "transcript": answer.text}
    finish_reason = FINISH_REASONS[answer.finished.reason] if answer.finished else "stop"
    choice = {"index": 0, "message": message, "logprobs": _whole_logprobs(answer), "finish_reason": finish_reason}
    return {
        "id": answer.id or new_id("chatcmpl"),
        "object": "chat.completion",
        "created": answer.created or int(time.time()),
        "model": answer.model,
        "choices": [choice],
        "usage": render_usage(answer.usage) if answer.usage else None,
    }


def render_usage(usage: Usage) -> Json:
    prompt = {"cached_tokens": usage.cached_input_tokens, "audio_tokens": usage.input_audio_tokens}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    completion = {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": usage.output_audio_tokens}
    told = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
    return {**told, "estimated": True} if usage.estimated else told


def _call(piece: ToolCallDelta) -> Json:
    call: Json = {"index": piece.index, "function": {"arguments": piece.arguments}, **sealed_call(piece.signature)}
    if piece.id:
        call |= {"id": piece.id, "type": "function"}
    if piece.name:
        call["function"]["name"] = piece.name
    return call


def _whole_call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function, **sealed_call(call.signature)}


def _details(answer: Answer) -> list[Json]:
    """Also of thoughts that nobody signed, as a stream cannot know whether a signature will follow."""
    thoughts = [part for part in answer.parts if isinstance(part, Reasoning)]
    told = (detail_of(thought, index=number) for number, thought in enumerate(thoughts))
    return [detail for detail in told if detail is not None]


def _annotations(answer: Answer) -> list[Json]:
    found, end = [], 0
    for part in answer.parts:
        if isinstance(part, Text):
            start, end = end, end + len(part.text)
            found += [_annotation(citation, start=start, end=end) for citation in part.citations]
    return found


def _annotation(citation: Citation, *, end: int, start: int = 0) -> Json:
    """Where the provider does not say which words are meant, the whole block of text is."""
    known = citation.start is not None and citation.end is not None
    cited: Json = {
        "url": citation.url or "",
        "title": citation.title or "",
        "start_index": citation.start if known else start,
        "end_index": citation.end if known else end,
    }
    if citation.cited_text is not None:
        cited["content"] = citation.cited_text
    return {"type": "url_citation", "url_citation": cited}


def _image(image: Image) -> Json:
    url = image.url or f"data:{image.media_type};base64,{image.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _logprobs(told: LogprobsTold) -> Json:
    tokens = [_logprob(token) for token in told.tokens]
    return {"content": None, "refusal": tokens} if told.refusal else {"content": tokens, "refusal": None}


def _whole_logprobs(answer: Answer) -> Json | None:
    if not answer.logprobs and not answer.refusal_logprobs:
        return None
    return {
        "content": [_logprob(token) for token in answer.logprobs] or None,
        "refusal": [_logprob(token) for token in answer.refusal_logprobs] or None,
    }


def _logprob(token: TokenLogprob) -> Json:
    told: Json = {"token": token.token, "logprob": token.logprob, "bytes": token.bytes}
    return {**told, "top_logprobs": [_top(one) for one in token.top]}


def _top(token: TokenLogprob) -> Json:
    return {"token": token.token, "logprob": token.logprob, "bytes": token.bytes}
