"""Canonical events written as GenerateContentResponse, whole and streamed."""

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
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import Citation, Opaque, Part, Reasoning, Text, ToolCall
from llm_service.dialects.base import StreamRenderer
from llm_service.dialects.gemini.citations import render_citations
from llm_service.dialects.gemini.parse_answers import FINISH_REASONS
from llm_service.dialects.gemini.render_parts import PartsRenderer
from shared.errors import DomainError
from shared.events import Usage
from shared.ids import new_id

Json = dict[str, Any]

WORDS: dict[FinishReason, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "pause": "CONTINUATION",
}
ERROR_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class GeminiStreamRenderer(StreamRenderer):
    """Calls are written whole, as Gemini does; the last chunk has the reason, the usage and the citations."""

    def __init__(self, *, model: str) -> None:
        self._head: Json = {"modelVersion": model, "responseId": new_id("resp")}
        self._call: ToolCallDelta | None = None
        self._text: list[str] = []
        self._citations: list[Citation] = []
        self._finished: Finished | None = None
        self._usage: Usage | None = None

    def relay(self, piece: Piece) -> bytes:
        return piece.raw

    def render(self, event: Event) -> bytes:
        if isinstance(event, ToolCallDelta):
            return self._add_call(event)
        called = self._called()
        match event:
            case Started():
                self._head |= {"modelVersion": event.model or self._head["modelVersion"]}
                self._head["responseId"] = event.id or self._head["responseId"]
            case TextDelta(text) | RefusalDelta(text):
                self._text.append(text)
                return called + self._parts(Text(text))
            case ReasoningDelta():
                return called + self._parts(
                    Reasoning(text=event.text, signature=event.signature, redacted=event.redacted)
                )
            case MediaAdded():
                return called + self._parts(event.part)
            case NativeAdded():
                native = event.native
                return called + (self._parts(Opaque(native=native)) if native.dialect == "gemini" else b"")
            case LogprobsTold():
                return called + self._chunk({"logprobsResult": render_logprobs(event.tokens)})
            case Cited():
                self._citations.append(event.citation)
            case Finished():
                self._finished = event
            case UsageCounted():
                self._usage = event.usage
            case Ended():
                pass
            case _:
                assert_never(event)
        return called

    def end(self) -> bytes:
        candidate: Json = {"content": {"parts": [{"text": ""}], "role": "model"}}
        candidate |= render_citations(self._citations, "".join(self._text))
        candidate["finishReason"] = finish_reason(self._finished)
        usage = {"usageMetadata": render_usage(self._usage)} if self._usage else {}
        return self._called() + self._chunk(candidate, **usage)

    def fail(self, error: DomainError) -> bytes:
        status = ERROR_NAMES.get(error.status, "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
        told = {"code": error.status, "message": error.detail or error.title, "status": status}
        return b"data: " + msgspec.json.encode({"error": told}) + b"\n\n"

    def _add_call(self, piece: ToolCallDelta) -> bytes:
        call = self._call
        if call is None or call.index != piece.index:
            called = self._called()
            self._call = piece
            return called
        self._call = ToolCallDelta(
            index=call.index,
            id=call.id or piece.id,
            name=call.name or piece.name,
            arguments=call.arguments + piece.arguments,
            signature=call.signature or piece.signature,
        )
        return b""

    def _called(self) -> bytes:
        """The call that was being written: whatever follows shows that it is complete."""
        call, self._call = self._call, None
        if call is None:
            return b""
        return self._parts(ToolCall(id=call.id, name=call.name, arguments=call.arguments, signature=call.signature))

    def _parts(self, part: Part) -> bytes:
        parts = render_parts((part,))
        return self._chunk({"content": {"parts": parts, "role": "model"}}) if parts else b""

    def _chunk(self, candidate: Json, **rest: Json) -> bytes:
        return (
            b"data: " + msgspec.json.encode({"candidates": [{**candidate, "index": 0}], **rest, **self._head}) + b"\n\n"
        )


def render_answer(answer: Answer) -> Json:
    candidate: Json = {
        "content": {"parts": render_parts(answer.parts), "role": "model"},
        "finishReason": finish_reason(answer.finished),
        "index": 0,
    }
    citations = [one for part in answer.parts if isinstance(part, Text) for one in part.citations]
    candidate |= render_citations(citations, answer.text)
    if answer.logprobs:
        candidate["logprobsResult"] = render_logprobs(answer.logprobs)
    return {
        "candidates": [candidate],
        **({"usageMetadata": render_usage(answer.usage)} if answer.usage else {}),
        "modelVersion": answer.model,
        "responseId": answer.id,
    }


def render_parts(parts: tuple[Part, ...]) -> list[Json]:
    """As an answer has them: what only another dialect understands is left out."""
    sayable = [part for part in parts if not isinstance(part, Opaque) or part.native.dialect == "gemini"]
    return PartsRenderer(model="", names={}, losses=Losses(allowed=True)).render(sayable)


def finish_reason(finished: Finished | None) -> str:
    if finished is None:
        return "STOP"
    native = finished.native
    return native if native and FINISH_REASONS.get(native) == finished.reason else WORDS[finished.reason]


def render_logprobs(tokens: tuple[TokenLogprob, ...] | list[TokenLogprob]) -> Json:
    told: Json = {"chosenCandidates": [_likelihood(one) for one in tokens]}
    if any(one.top for one in tokens):
        told["topCandidates"] = [{"candidates": [_likelihood(other) for other in one.top]} for one in tokens]
    return told


def _likelihood(one: TokenLogprob) -> Json:
    return {"token": one.token, "logProbability": one.logprob}


def render_usage(usage: Usage) -> Json:
    """Candidates without thoughts, as Gemini counts."""
    counts = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "thoughtsTokenCount": usage.reasoning_tokens,
        "cachedContentTokenCount": usage.cached_input_tokens,
        "totalTokenCount": usage.total_tokens,
    }
    told: Json = {name: count for name, count in counts.items() if count or name == "totalTokenCount"}
    for name, total, audio in (
        ("promptTokensDetails", usage.input_tokens, usage.input_audio_tokens),
        ("candidatesTokensDetails", usage.output_tokens - usage.reasoning_tokens, usage.output_audio_tokens),
    ):
        if audio:
            text = {"modality": "TEXT", "tokenCount": max(0, total - audio)}
            told[name] = [text, {"modality": "AUDIO", "tokenCount": audio}]
    return told
