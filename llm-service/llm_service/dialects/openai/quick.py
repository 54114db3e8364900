"""Whole answers that say words and nothing else, as most do, read by their types: an eighth of the time that it takes
to look for everything. What has anything more in it is left to `parse_answer`, which says the same of these."""

from typing import Literal

import msgspec

from llm_service.canonical.events import Ended, Event, Finished, FinishReason, Started, TextDelta, UsageCounted
from shared.events import Usage


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Prompt(_Strict):
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_tokens: int = 0


class _Completion(_Strict):
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


_NO_PROMPT, _NO_COMPLETION = _Prompt(), _Completion()


class _Tokens(_Strict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _Prompt | None = None
    completion_tokens_details: _Completion | None = None


class _Message(_Strict):
    role: Literal["assistant"]
    content: str
    refusal: None = None
    annotations: tuple[()] | None = None
    tool_calls: None = None
    reasoning_content: None = None
    audio: None = None
    function_call: None = None


class _Choice(_Strict):
    message: _Message
    finish_reason: Literal["stop", "length"]
    index: Literal[0] = 0
    logprobs: None = None


class _Answer(_Strict):
    choices: tuple[_Choice]
    usage: _Tokens
    id: str = ""
    object: str = ""
    created: int = 0
    model: str = ""
    system_fingerprint: str | None = None
    service_tier: str | None = None


_DECODER = msgspec.json.Decoder(_Answer)
_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


def words_only(body: bytes) -> tuple[Event, ...] | None:
    """The events of such an answer; None for any other."""
    try:
        answer = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    choice, told = answer.choices[0], answer.usage
    text, reason = choice.message.content, choice.finish_reason
    if not text or told.total_tokens > told.prompt_tokens + told.completion_tokens:
        return None
    prompt = told.prompt_tokens_details or _NO_PROMPT
    if prompt.cached_tokens > told.prompt_tokens:
        return None
    completion = told.completion_tokens_details or _NO_COMPLETION
    usage = Usage(
        input_tokens=told.prompt_tokens,
        output_tokens=told.completion_tokens,
        cached_input_tokens=prompt.cached_tokens,
        cache_write_tokens=prompt.cache_write_tokens,
        reasoning_tokens=completion.reasoning_tokens,
        input_audio_tokens=prompt.audio_tokens,
        output_audio_tokens=completion.audio_tokens,
    )
    started = Started(id=answer.id, model=answer.model, created=answer.created)
    return started, TextDelta(text), Finished(_REASONS[reason], native=reason), UsageCounted(usage), Ended()
