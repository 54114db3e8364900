"""What OpenAI-compatible providers answer: streams, whole answers and errors, read into canonical events."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from llm_service.canonical.events import (
    Cited,
    Ended,
    Event,
    Finished,
    FinishReason,
    LogprobsTold,
    MediaAdded,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageCounted,
)
from llm_service.canonical.request import Audio, Citation, Image, Reasoning
from llm_service.dialects.base import StreamParser
from llm_service.dialects.failures import excerpt, json_object, kind_of_status, unreadable
from llm_service.dialects.openai.quick import words_only
from llm_service.dialects.openai.reasoning import seal_of_call, thought_of
from llm_service.errors import Kind, ProviderError
from shared.events import Usage
from shared.http.frames import Frame
from shared.ids import new_id

Json = dict[str, Any]

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
KIND_OF_STATUS = {
    401: Kind.CREDENTIALS,
    402: Kind.CREDENTIALS,
    403: Kind.CREDENTIALS,
    404: Kind.MODEL_UNKNOWN,
    408: Kind.SERVER,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMITED,
}
TOO_LARGE = re.compile(r"request too large for ", re.IGNORECASE)
"""How OpenAI (429) and Groq (413) begin where a request alone is more than the limit per minute: no code says it
(https://platform.openai.com/docs/guides/rate-limits)."""
KIND_OF_CODE = {
    "context_length_exceeded": Kind.CONTEXT_OVERFLOW,
    "content_filter": Kind.CONTENT_FILTER,
    "content_policy_violation": Kind.CONTENT_FILTER,
    "rate_limit_exceeded": Kind.RATE_LIMITED,
    "insufficient_quota": Kind.CREDENTIALS,
    "invalid_api_key": Kind.CREDENTIALS,
    "model_not_found": Kind.MODEL_UNKNOWN,
    "server_error": Kind.SERVER,
}
NOT_FROM_THE_API = (404, 405)
"""Without an error object: the address is wrong, or something else answers there; the client is not to blame."""


def _plain(content: Any) -> Iterator[Event]:
    yield TextDelta(_text(content))


Content = Callable[[Any], Iterator[Event]]
"""Reads a `content` that is not empty; a relative of this dialect may have more in it than text."""


class _Words(msgspec.Struct, forbid_unknown_fields=True):
    content: str | None = None
    role: str | None = None
    refusal: None = None
    tool_calls: None = None
    reasoning_content: None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    delta: _Words
    index: Literal[0] = 0
    finish_reason: str | None = None
    logprobs: None = None
    stop_reason: None = None


class _Saying(msgspec.Struct, forbid_unknown_fields=True):
    """A chunk with words or an end and nothing else, as nearly all are: read so, it costs a tenth."""

    choices: tuple[_Choice]
    id: str = ""
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int = 0
    model: str = ""
    system_fingerprint: str | None = None
    service_tier: str | None = None
    usage: None = None
    obfuscation: str | None = None


_SAYING = msgspec.json.Decoder(_Saying)


class OpenAIStreamParser(StreamParser):
    """Reads `chat.completion.chunk` objects and the `[DONE]` that ends them."""

    def __init__(self, *, content: Content = _plain) -> None:
        self._started = False
        self._content = content

    def read(self, frame: Frame) -> tuple[Event, ...]:
        try:
            saying = _SAYING.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # there is more to it
        else:
            choice = saying.choices[0]
            if self._started and choice.finish_reason is None:
                return (TextDelta(choice.delta.content),) if choice.delta.content else ()
            if choice.finish_reason != "error":
                return self._first_or_last(saying, choice)
        if frame.data.strip() == b"[DONE]":
            return (Ended(),)
        chunk = _object(frame.data)
        if error := _error_of(chunk):
            raise _in_band(error)
        try:
            return tuple(self._events(chunk))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise unreadable(frame.data) from None

    def _first_or_last(self, saying: _Saying, choice: _Choice) -> tuple[Event, ...]:
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(Started(id=saying.id, model=saying.model, created=saying.created))
        if choice.delta.content:
            events.append(TextDelta(choice.delta.content))
        if reason := choice.finish_reason:
            events.append(Finished(FINISH_REASONS.get(reason, "stop"), native=reason))
        return tuple(events)

    def _events(self, chunk: Json) -> Iterator[Event]:
        if not self._started:
            self._started = True
            yield _started(chunk)
        choices = chunk.get("choices") or []
        if choices and choices[0].get("index", 0) == 0:  # further choices (n > 1) cross only by relay
            yield from _said(choices[0].get("delta") or {}, self._content)
            yield from _finished(choices[0])
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        if usage and _counts(usage):
            yield UsageCounted(_usage(usage))


def parse_answer(body: bytes, *, content: Content = _plain) -> tuple[Event, ...]:
    """Raises ProviderError where the body is no `chat.completion`."""
    if content is _plain and (told := words_only(body)) is not None:
        return told
    answer = _object(body)
    if error := _error_of(answer):
        raise _in_band(error)
    try:
        choice = answer["choices"][0]
        events = [_started(answer), *_said(choice["message"], content, whole=True), *_finished(choice, default="stop")]
        if (usage := answer.get("usage")) and _counts(usage):
            events.append(UsageCounted(_usage(usage)))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        raise unreadable(body) from None
    return (*events, Ended())


def _started(source: Json) -> Started:
    return Started(
        id=str(source.get("id") or ""), model=str(source.get("model") or ""), created=int(source.get("created") or 0)
    )


def _finished(choice: Json, *, default: str | None = None) -> Iterator[Event]:
    """Probabilities come with the words that they are of; the reason comes last."""
    if logprobs := choice.get("logprobs"):
        for name, refusal in (("content", False), ("refusal", True)):
            if tokens := logprobs.get(name):
                yield LogprobsTold(tuple(map(_logprob, tokens)), refusal=refusal)
    reason = choice.get("finish_reason") or default
    if reason == "error":  # OpenRouter's word for a provider of its own that broke off
        raise _in_band(choice.get("error") or {"message": "The provider broke its answer off."})
    if reason:
        yield Finished(FINISH_REASONS.get(reason, "stop"), native=reason)


def _logprob(token: Json) -> TokenLogprob:
    given = token.get("bytes")
    return TokenLogprob(
        token=str(token["token"]),
        logprob=float(token["logprob"]),
        bytes=None if given is None else tuple(map(int, given)),
        top=tuple(map(_logprob, token.get("top_logprobs") or ())),
    )


def _said(delta: Json, content: Content, *, whole: bool = False) -> Iterator[Event]:
    """A chunk's `delta`, or (`whole`) an answer's `message`, whose tool calls are in order instead of numbered."""
    yield from _thought(delta)
    if said := delta.get("content"):
        yield from content(said)
    for annotation in delta.get("annotations") or ():
        if cited := annotation.get("url_citation"):
            yield Cited(_citation(cited))
    if refusal := delta.get("refusal"):
        yield RefusalDelta(_text(refusal))
    yield from _media(delta)
    for position, call in enumerate(delta.get("tool_calls") or []):
        function = call.get("function") or {}
        name = _text(function.get("name") or "")
        yield ToolCallDelta(
            index=position if whole else int(call.get("index") or 0),
            id=str(call.get("id") or (new_id("call") if name else "")),  # some compatible servers give none
            name=name,
            arguments=_arguments(function.get("arguments")),
            signature=seal_of_call(call),
        )


def _arguments(given: Any) -> str:
    """JSON as text; some compatible servers send the object itself."""
    return msgspec.json.encode(given).decode() if isinstance(given, dict) else _text(given or "")


def _thought(delta: Json) -> Iterator[Event]:
    """The details say all that the text says, and more."""
    thoughts = [one for detail in delta.get("reasoning_details") or () if (one := thought_of(detail)) is not None]
    if not thoughts and (text := delta.get("reasoning_content") or delta.get("reasoning")):
        thoughts = [Reasoning(text=_text(text))]
    for one in thoughts:
        yield ReasoningDelta(text=one.text, signature=one.signature, redacted=one.redacted)


def _media(delta: Json) -> Iterator[Event]:
    """What is spoken comes with its text; images are OpenRouter's."""
    if audio := delta.get("audio"):
        if transcript := audio.get("transcript"):
            yield TextDelta(_text(transcript))
        if spoken := audio.get("data"):
            yield MediaAdded(Audio(data=_text(spoken), format=""))
    for image in delta.get("images") or ():
        url = _text(image["image_url"]["url"])
        head, _, data = url.partition(";base64,")
        inline = head.startswith("data:") and data
        yield MediaAdded(Image(data=data, media_type=head[5:]) if inline else Image(url=url))


def _citation(cited: Json) -> Citation:
    start, end = cited.get("start_index"), cited.get("end_index")
    return Citation(
        url=cited.get("url"),
        title=cited.get("title"),
        cited_text=cited.get("content"),
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
    )


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError("content is not text")
    return content


def _counts(usage: Json) -> bool:
    """Whether anything was counted: some servers send the object with nothing in it."""
    return usage.get("prompt_tokens") is not None or usage.get("completion_tokens") is not None


def _usage(usage: Json) -> Usage:
    """Some compatible servers (Gemini's, xAI's) leave reasoning out of `completion_tokens`, and only `total_tokens`
    has it, whether they tell it by itself or not."""
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    asked, said = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    unsaid = max(0, int(usage.get("total_tokens") or 0) - asked - said)
    return Usage(
        input_tokens=asked,
        output_tokens=said + unsaid,
        cached_input_tokens=min(asked, int(prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0)),
        cache_write_tokens=int(prompt.get("cache_write_tokens") or 0),
        reasoning_tokens=max(int(completion.get("reasoning_tokens") or 0), unsaid),
        input_audio_tokens=int(prompt.get("audio_tokens") or 0),
        output_audio_tokens=int(completion.get("audio_tokens") or 0),
    )


def parse_error(status: int, body: bytes) -> ProviderError:
    """OpenAI's error object if there is one; the kind follows its code, then the status."""
    error = (json_object(body) or {}).get("error")
    if not isinstance(error, dict):
        kind = Kind.INVALID_ANSWER if status in NOT_FROM_THE_API else kind_of_status(status, KIND_OF_STATUS)
        return ProviderError(kind, f"The provider answered {status}.", status=status, page=excerpt(body))
    message = str(error.get("message") or status)
    kind = KIND_OF_CODE.get(str(error.get("code"))) or kind_of_status(status, KIND_OF_STATUS)
    if kind is Kind.RATE_LIMITED and TOO_LARGE.match(message):
        kind = Kind.TOO_LARGE
    return ProviderError(kind, message, status=status, param=error.get("param"))


def _error_of(told: Json) -> Any:
    """OpenAI's is an object in `error`; that of Mistral and of vLLM stands there itself."""
    return told if told.get("object") == "error" else told.get("error")


def _in_band(error: Any) -> ProviderError:
    """An error object where an answer was due: the status was already 200."""
    if not isinstance(error, dict):
        return ProviderError(Kind.SERVER, str(error))
    code = str(error.get("code"))
    kind = KIND_OF_CODE.get(code) or KIND_OF_CODE.get(str(error.get("type")))
    if kind is None:
        kind = kind_of_status(int(code) if code.isdecimal() and len(code) == 3 else 500, KIND_OF_STATUS)
    return ProviderError(kind, str(error.get("message") or "The provider reported an error."), param=error.get("param"))


def _object(data: str | bytes) -> Json:
    found = json_object(data)
    if found is None:
        raise unreadable(data)
    return found
