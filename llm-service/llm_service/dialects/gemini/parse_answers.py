"""What Gemini answers, whole or streamed, read into canonical events."""

from collections.abc import Iterator
from hashlib import blake2s
from typing import Any

import msgspec

from llm_service.canonical.events import (
    Cited,
    Event,
    Finished,
    FinishReason,
    LogprobsTold,
    MediaAdded,
    NativeAdded,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageCounted,
)
from llm_service.canonical.request import Audio, Image, Native, Signature
from llm_service.dialects.base import StreamParser
from llm_service.dialects.failures import unreadable
from llm_service.dialects.gemini.citations import read_citations, read_grounding
from llm_service.dialects.gemini.errors import error_of
from llm_service.dialects.gemini.wire import (
    Candidate,
    Likelihood,
    Logprobs,
    ModalityCount,
    Response,
    UsageMetadata,
    responses,
)
from llm_service.errors import Kind, ProviderError
from shared.events import Usage
from shared.http.frames import Frame
from shared.ids import new_id

Json = dict[str, Any]

FINISH_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "CONTINUATION": "pause",
}
FAILURES = {
    "MALFORMED_FUNCTION_CALL": Kind.NO_ANSWER,
    "MALFORMED_RESPONSE": Kind.NO_ANSWER,
    "UNEXPECTED_TOOL_CALL": Kind.NO_ANSWER,
    "TOO_MANY_TOOL_CALLS": Kind.NO_ANSWER,
    "MISSING_THOUGHT_SIGNATURE": Kind.BAD_REQUEST,
}
"""Reasons for which there is no answer: the model, or the request, went wrong. Any other reason (`OTHER`, and what is
invented tomorrow) ends an answer that says something, and is a failure of one that does not."""


class GeminiStreamParser(StreamParser):
    """Reads GenerateContentResponse chunks; a `finishReason` is all that tells their end."""

    def __init__(self) -> None:
        self._reading = _Reading()

    def read(self, frame: Frame) -> tuple[Event, ...]:
        return self._reading.all_of(frame.data)


def parse_answer(body: bytes) -> tuple[Event, ...]:
    """Raises ProviderError where the body is no GenerateContentResponse, or one without an answer."""
    reading = _Reading()
    events = reading.all_of(body)
    if not any(isinstance(event, Finished) for event in events):
        raise ProviderError(Kind.INVALID_ANSWER, "The provider sent no answer, and no reason why.")
    return events


class _Reading:
    """One answer, as far as it was read."""

    def __init__(self) -> None:
        self._started = False
        self._response_id = ""
        self._calls = 0
        self._said = False
        self._block: list[str] = []
        self._block_goes_on = True
        self._usage: Usage | None = None
        self._cited: set[tuple[str | None, str | None, int | None, int | None]] = set()

    def all_of(self, body: bytes) -> tuple[Event, ...]:
        try:
            return tuple(event for response in responses(body) for event in self._events(response))
        except (AttributeError, KeyError, TypeError, ValueError, IndexError):
            raise unreadable(body) from None

    def _events(self, response: Response) -> Iterator[Event]:
        if response.error is not None:
            raise error_of(response.error)
        if not self._started:
            self._started = True
            self._response_id = response.response_id or ""
            yield Started(id=self._response_id, model=response.model_version or "")
        if (feedback := response.prompt_feedback) and feedback.block_reason:
            told = feedback.block_reason_message or feedback.block_reason
            raise ProviderError(Kind.CONTENT_FILTER, f"The provider does not answer this prompt: {told}.")
        for candidate in response.candidates or ():
            if not candidate.index:  # further candidates cross only by relay
                yield from self._candidate(candidate)
        if (counted := response.usage_metadata) and (usage := _usage(counted)) != self._usage:
            self._usage = usage
            yield UsageCounted(usage)

    def _candidate(self, candidate: Candidate) -> Iterator[Event]:
        for part in (candidate.content.parts if candidate.content else None) or ():
            for event in self._part(part):
                self._said = True
                yield event
        yield from self._citations(candidate)
        if candidate.logprobs_result and (tokens := _logprobs(candidate.logprobs_result)):
            yield LogprobsTold(tokens)
        if reason := candidate.finish_reason:
            yield self._finished(reason, candidate.finish_message)

    def _citations(self, candidate: Candidate) -> Iterator[Event]:
        """Each once: a chunk may repeat what one before it told."""
        if not candidate.grounding_metadata and not candidate.citation_metadata:
            return
        text = "".join(self._block)
        grounded = read_grounding(candidate.grounding_metadata or {}, text)
        for citation in (*grounded, *read_citations(candidate.citation_metadata or {}, text)):
            place = (citation.url, citation.title, citation.start, citation.end)
            if place not in self._cited:
                self._cited.add(place)
                yield Cited(citation)

    def _part(self, part: Json) -> Iterator[Event]:
        """A signature is told before what it stands on, so that it ends the thought that led there."""
        seal = part.get("thoughtSignature")
        signature = Signature(dialect="gemini", value=str(seal)) if seal else None
        match part:
            case {"functionCall": dict(call)}:
                self._block_goes_on = False
                yield self._call(call, signature)
                return
            case {"text": str(thought), "thought": True}:
                if thought or signature:
                    self._block_goes_on = False
                    yield ReasoningDelta(text=thought, signature=signature)
                return
            case {"text": str()} | {"inlineData": dict()}:
                if signature:
                    yield ReasoningDelta(signature=signature)
        match part:
            case {"text": str(text)}:
                if text:
                    self._add_text(text, sealed=signature is not None)
                    yield TextDelta(text)
            case {"inlineData": dict(blob)} if not part.get("thought"):  # drafts of images are thoughts, too
                self._block_goes_on = False
                yield _media(part, blob)
            case _ if part:
                self._block_goes_on = False
                yield NativeAdded(Native(dialect="gemini", value=part))

    def _add_text(self, text: str, *, sealed: bool) -> None:
        if sealed or not self._block_goes_on:
            self._block, self._block_goes_on = [], True
        self._block.append(text)

    def _call(self, call: Json, signature: Signature | None) -> ToolCallDelta:
        number, self._calls = self._calls, self._calls + 1
        return ToolCallDelta(
            index=number,
            id=str(call.get("id") or self._call_id(number)),
            name=str(call["name"]),
            arguments=msgspec.json.encode(call.get("args") or {}).decode(),
            signature=signature,
        )

    def _call_id(self, number: int) -> str:
        """Most models give their calls no id: the same one whenever the same answer is read, and one that all take."""
        if not self._response_id:
            return new_id("call")
        return "call_" + blake2s(f"{self._response_id}:{number}".encode(), digest_size=12).hexdigest()

    def _finished(self, native: str, message: str | None) -> Finished:
        known = FINISH_REASONS.get(native)
        if known is None and (native in FAILURES or not self._said):
            told = message or "The model did not come to an answer."
            raise ProviderError(FAILURES.get(native, Kind.NO_ANSWER), f"{native}: {told}")
        if self._calls and known in (None, "stop"):
            return Finished("tool_calls", native=native)
        return Finished(known or "stop", native=native)


def _media(part: Json, blob: Json) -> Event:
    kind, _, subtype = str(blob.get("mimeType")).partition("/")
    if kind == "image":
        return MediaAdded(Image(data=str(blob["data"]), media_type=f"image/{subtype}"))
    if kind == "audio":
        return MediaAdded(Audio(data=str(blob["data"]), format=subtype))
    return NativeAdded(Native(dialect="gemini", value=part))


def _usage(counted: UsageMetadata) -> Usage:
    thought = counted.thoughts_token_count or 0
    heard = _audio(counted.prompt_tokens_details) + _audio(counted.tool_use_prompt_tokens_details)
    return Usage(
        input_tokens=(counted.prompt_token_count or 0) + (counted.tool_use_prompt_token_count or 0),
        output_tokens=(counted.candidates_token_count or 0) + thought,
        cached_input_tokens=counted.cached_content_token_count or 0,
        reasoning_tokens=thought,
        input_audio_tokens=max(0, heard - _audio(counted.cache_tokens_details)),  # the cached are priced as cached
        output_audio_tokens=_audio(counted.candidates_tokens_details),
    )


def _audio(counts: list[ModalityCount] | None) -> int:
    return sum(count.token_count or 0 for count in counts or () if count.modality == "AUDIO")


def _logprobs(told: Logprobs) -> tuple[TokenLogprob, ...]:
    tops = told.top_candidates or []
    return tuple(
        _likelihood(chosen, top=tops[number].candidates or () if number < len(tops) else ())
        for number, chosen in enumerate(told.chosen_candidates or ())
    )


def _likelihood(one: Likelihood, *, top: list[Likelihood] | tuple[()] = ()) -> TokenLogprob:
    token = one.token or ""
    return TokenLogprob(
        token=token,
        logprob=one.log_probability or 0.0,
        bytes=tuple(token.encode()),
        top=tuple(_likelihood(other) for other in top),
    )
