"""Mistral's chat completions (https://docs.mistral.ai/api/#tag/chat): nearly OpenAI's, and a dialect all the same.

Thoughts are chunks of the content, some fields have other names, ids of tool calls have nine letters or digits, and
errors look otherwise. So bytes are never relayed between it and OpenAI's clients: they are translated.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from llm_service.canonical.events import Event, ReasoningDelta, TextDelta
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import (
    Audio,
    CompletionRequest,
    Document,
    Message,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from llm_service.dialects.base import Body, StreamParser, extra_fields
from llm_service.dialects.failures import json_object, kind_of_status
from llm_service.dialects.openai import OpenAIDialect
from llm_service.dialects.openai.parse_answer import KIND_OF_STATUS, OpenAIStreamParser, parse_answer
from llm_service.errors import Kind, ProviderError

CALL_ID = re.compile(r"[A-Za-z0-9]{9}")
OWN_FIELDS = frozenset(
    {
        "guardrails",
        "min_tokens",
        "n",
        "prediction",
        "prompt_cache_key",
        "prompt_mode",
        "random_seed",
        "repetition_penalty",
        "safe_prompt",
    }
)
"""What a client of OpenAI's dialect may send along for Mistral."""
MISTRAL = "mistral"


class MistralDialect(OpenAIDialect):
    """Towards providers. A client never speaks it to us: Mistral's own SDK would have a route of its own."""

    name: ClassVar[str] = MISTRAL

    def render_request(self, request: CompletionRequest, *, stream: bool, losses: Losses) -> Body:
        body = super().render_request(_prepared(request, losses), stream=stream, losses=losses)
        body.pop("stream_options", None)  # its last chunk has the usage, asked or not
        for ours, theirs in (("seed", "random_seed"), ("max_completion_tokens", "max_tokens")):
            if ours in body:
                body[theirs] = body.pop(ours)
        if request.top_k is not None:
            body["top_k"] = request.top_k
        if body.get("tool_choice") == "required":
            body["tool_choice"] = "any"
        if request.messages and request.messages[-1].role == "assistant" and not body["messages"][-1].get("tool_calls"):
            body["messages"][-1]["prefix"] = True
        return body | _own_fields(request, losses)

    def stream_parser(self) -> StreamParser:
        return OpenAIStreamParser(content=_said)

    def parse_answer(self, body: bytes) -> tuple[Event, ...]:
        return parse_answer(body, content=_said)

    def parse_error(self, status: int, body: bytes) -> ProviderError:
        """`{"object": "error", "message", "type", "code"}`, `{"detail": [{"loc", "msg"}]}`, or a message alone."""
        told = json_object(body) or {}
        if "error" in told or not (message := _message(told)):
            return super().parse_error(status, body)
        kind = kind_of_status(status, KIND_OF_STATUS)
        if kind is Kind.BAD_REQUEST and ("context length" in message or "too large for model" in message):
            kind = Kind.CONTEXT_OVERFLOW
        elif kind is Kind.BAD_REQUEST and "Invalid model" in message:
            kind = Kind.MODEL_UNKNOWN
        return ProviderError(kind, message, status=status)


def _message(told: Body) -> str:
    match told:
        case {"message": {"detail": list(mistakes)}} | {"detail": list(mistakes)}:
            found = (mistake for mistake in mistakes if isinstance(mistake, dict))
            return "; ".join(f"{'.'.join(map(str, one.get('loc', ())))}: {one.get('msg')}" for one in found)
        case {"message": str(message)} | {"detail": str(message)}:
            return message
        case _:
            return ""


def _said(content: Any) -> Iterator[Event]:
    """Content is text, or chunks of it; what is neither said nor thought (a reference) has no word elsewhere."""
    if isinstance(content, str):
        yield TextDelta(content)
        return
    for chunk in content:
        if chunk.get("type") == "text":
            yield TextDelta(str(chunk["text"]))
        elif chunk.get("type") == "thinking":
            yield ReasoningDelta(
                text="".join(str(one["text"]) for one in chunk["thinking"] if one.get("type") == "text")
            )


def _own_fields(request: CompletionRequest, losses: Losses) -> Body:
    """Of the client's fields that have no canonical name: Mistral's, by their name."""
    body: Body = {}
    for native in (request.extra, request.hints):
        if native is not None and native.dialect == OpenAIDialect.name:
            body |= {name: value for name, value in native.value.items() if name in OWN_FIELDS}
    match request.service_tier:
        case None | "auto" | "default":
            pass
        case "priority" | "standard" as tier:
            body["service_tier"] = tier
        case _:
            losses.drop("service_tier", target=MISTRAL)
    if request.user is not None:
        losses.ignore("user")
    return body


def _prepared(request: CompletionRequest, losses: Losses) -> CompletionRequest:
    """The request with all that Mistral says otherwise in Mistral's words, so that OpenAI's renderer passes it on."""
    foreign = msgspec.structs.replace(request, extra=_foreign(request.extra), hints=_foreign(request.hints))
    extra_fields(foreign, dialect=MISTRAL, losses=losses)
    messages = tuple(_message_prepared(message) for message in request.messages)
    own_names: dict[str, Any] = dict.fromkeys(("extra", "hints", "top_k", "user", "service_tier"))
    return msgspec.structs.replace(request, messages=messages, **own_names)


def _foreign(native: Native | None) -> Native | None:
    """Without the fields that are Mistral's too."""
    if native is None or native.dialect != OpenAIDialect.name:
        return native
    rest = {name: value for name, value in native.value.items() if name not in OWN_FIELDS}
    return msgspec.structs.replace(native, value=rest)


def _message_prepared(message: Message) -> Message:
    thoughts = [part for part in message.parts if isinstance(part, Reasoning)]
    said = [_part(part) for part in message.parts if not isinstance(part, Reasoning)]
    own = "".join(part.text for part in thoughts if part.signature is None and part.redacted is None)
    if own:
        said.insert(0, _chunk({"type": "thinking", "thinking": [{"type": "text", "text": own}]}))
    return msgspec.structs.replace(message, parts=tuple(said), name=None)


def _part(part: Part) -> Part:
    match part:
        case ToolCall():
            return msgspec.structs.replace(part, id=_call_id(part.id), signature=None)
        case ToolResult():
            return msgspec.structs.replace(part, tool_call_id=_call_id(part.tool_call_id))
        case Refusal():
            return Text(part.text)
        case Audio():
            return _chunk({"type": "input_audio", "input_audio": part.data})
        case Document() if (url := _document_url(part)) is not None:
            return _chunk({"type": "document_url", "document_url": url, "document_name": part.name})
        case _:
            return part


def _document_url(document: Document) -> str | None:
    """None where it is text, or a file of another provider: then it is said as OpenAI's renderer says it."""
    if document.url is not None:
        return document.url
    if document.data is None or (document.media_type or "").startswith("text/"):
        return None
    return f"data:{document.media_type};base64,{document.data}"


def _chunk(value: Body) -> Opaque:
    value = {name: one for name, one in value.items() if one is not None}
    return Opaque(native=Native(dialect=OpenAIDialect.name, value=value))


def _call_id(given: str) -> str:
    """Nine letters or digits, the same for the same id: others are refused."""
    if CALL_ID.fullmatch(given):
        return given
    digest = base64.b32encode(hashlib.sha256(given.encode()).digest()).decode()
    return digest[:9]
