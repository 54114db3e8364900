"""The parts of Gemini's contents, read as canonical ones."""

from collections import defaultdict, deque
from typing import Any

import msgspec

from llm_service.canonical.request import (
    Audio,
    Document,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from llm_service.dialects.gemini.render_parts import UNSIGNED
from shared.errors import Unprocessable

Json = dict[str, Any]
Medium = Image | Audio | Document

_KNOWN = {"text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", "functionResponse"}


class PartsReader:
    """Reads one conversation: calls and their results find each other where they have no ids."""

    def __init__(self) -> None:
        self._calls = 0
        self._unanswered: defaultdict[str, deque[str]] = defaultdict(deque)

    def read(self, part: Json, where: str) -> tuple[Part, ...]:
        """One part may say two things: a thought's signature, and what follows the thought.

        Raises Unprocessable. What has a field without a canonical name is Opaque as a whole.
        """
        if part.keys() - _KNOWN:
            return (Opaque(native=Native(dialect="gemini", value=part)),)
        try:
            return self._read(part)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            errors = [{"pointer": where, "in": "body", "detail": f"is no part: {error}"}]
            raise Unprocessable(f"body {where} is no part.", errors=errors, param="contents") from None

    def _read(self, part: Json) -> tuple[Part, ...]:
        seal = part.get("thoughtSignature")
        if seal == UNSIGNED:
            seal = None
        signature = Signature(dialect="gemini", value=_text(seal)) if seal else None
        if part.get("thought") is True and "text" in part:
            return (Reasoning(text=_text(part["text"]), signature=signature),)
        if (call := part.get("functionCall")) is not None:
            return (self._call(_camelled(call), signature),)
        if (response := part.get("functionResponse")) is not None:
            return (self._result(_camelled(response)),)
        sealed: tuple[Part, ...] = (Reasoning(signature=signature),) if signature else ()
        if (blob := part.get("inlineData")) is not None:
            return (*sealed, _inline(_camelled(blob)))
        if (file := part.get("fileData")) is not None:
            return (*sealed, _file(_camelled(file)))
        text = _text(part.get("text", ""))
        return (*sealed, Text(text)) if text else sealed

    def _call(self, call: Json, signature: Signature | None) -> ToolCall:
        name = _text(call["name"])
        self._calls += 1
        call_id = _text(call.get("id") or f"call_{self._calls}")
        self._unanswered[name].append(call_id)
        arguments = msgspec.json.encode(call.get("args") or {}).decode()
        return ToolCall(id=call_id, name=name, arguments=arguments, signature=signature)

    def _result(self, response: Json) -> ToolResult:
        name = _text(response["name"])
        waiting = self._unanswered[name]
        call_id = _text(response.get("id") or (waiting[0] if waiting else name))
        if call_id in waiting:
            waiting.remove(call_id)
        text, is_error = _said(response.get("response") or {})
        media = [_inline(_camelled(part["inlineData"])) for part in response.get("parts") or ()]
        parts = (Text(text), *(one for one in media if isinstance(one, Image | Document)))
        return ToolResult(tool_call_id=call_id, parts=parts, is_error=is_error)


def _said(response: Json) -> tuple[str, bool]:
    """The result's text, and whether it is an error."""
    for key in ("error", "output"):
        if response.keys() == {key}:
            value = response[key]
            return value if isinstance(value, str) else msgspec.json.encode(value).decode(), key == "error"
    return msgspec.json.encode(response).decode(), False


def _inline(blob: Json) -> Medium:
    media_type, data = _text(blob["mimeType"]), _text(blob["data"])
    kind, _, subtype = media_type.partition("/")
    if kind == "image":
        return Image(data=data, media_type=media_type)
    if kind == "audio":
        return Audio(data=data, format=subtype)
    return Document(data=data, media_type=media_type)


def _file(file: Json) -> Medium:
    url, media_type = _text(file["fileUri"]), file.get("mimeType")
    if media_type is not None and _text(media_type).startswith("image/"):
        return Image(url=url, media_type=media_type)
    return Document(url=url, media_type=media_type)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not a string")
    return value


def _camelled(body: Json) -> Json:
    return {_CAMEL.get(name, name): value for name, value in body.items()}


_CAMEL = {"mime_type": "mimeType", "file_uri": "fileUri", "display_name": "displayName"}
