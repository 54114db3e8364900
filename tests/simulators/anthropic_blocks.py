"""Reading the blocks of a message as Anthropic does: what each kind may hold, and who may say it."""

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.simulators.anthropic_errors import Refusal
from tests.simulators.shapes import (
    ANY,
    BOOLEAN,
    LIST,
    OBJECT,
    REQUIRED_ANY,
    REQUIRED_OBJECT,
    Field,
    Place,
    problems,
    string,
)

_CACHED = {"type": string(required=True), "cache_control": OBJECT}
BLOCKS: Mapping[str, Mapping[str, Field]] = {
    "text": {**_CACHED, "text": string(required=True), "citations": LIST},
    "image": {**_CACHED, "source": REQUIRED_OBJECT},
    "document": {**_CACHED, "source": REQUIRED_OBJECT, "title": string(), "context": string(), "citations": OBJECT},
    "search_result": {
        **_CACHED,
        "source": string(required=True),
        "title": string(required=True),
        "content": LIST,
        "citations": OBJECT,
    },
    "thinking": {"type": string(), "thinking": string(required=True), "signature": string(required=True)},
    "redacted_thinking": {"type": string(), "data": string(required=True)},
    "tool_use": {
        **_CACHED,
        "id": string(required=True, pattern="[a-zA-Z0-9_-]+"),
        "name": string(required=True, pattern="[a-zA-Z0-9_-]{1,200}"),
        "input": REQUIRED_OBJECT,
        "caller": OBJECT,
    },
    "tool_result": {
        **_CACHED,
        "tool_use_id": string(required=True, pattern="[a-zA-Z0-9_-]+"),
        "content": ANY,
        "is_error": BOOLEAN,
    },
}
_OF_ANTHROPICS_TOOLS = ("server_tool_use", "mcp_tool_use", "container_upload", "compaction", "tool_reference")
_SOURCES: Mapping[str, Mapping[str, Field]] = {
    "base64": {"type": string(), "media_type": string(required=True), "data": string(required=True)},
    "url": {"type": string(), "url": string(required=True)},
    "text": {"type": string(), "media_type": string("text/plain", required=True), "data": string(required=True)},
    "content": {"type": string(), "content": REQUIRED_ANY},
    "file": {"type": string(), "file_id": string(required=True)},
}
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_USERS = ("text", "image", "document", "search_result", "tool_result")
_ASSISTANTS = ("text", "thinking", "redacted_thinking", "tool_use")


@dataclass(frozen=True, slots=True)
class Said:
    """What a message said, or one result of a tool that it carried."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    call: str = ""
    """The call that a result is of."""
    calls: tuple[str, ...] = ()
    """The calls that an assistant made."""


def read_blocks(
    content: Any,
    place: Place,
    *,
    role: Literal["system", "user", "assistant"],
    signatures: Collection[str] | None = None,
) -> list[Said]:
    """The results of tools first, each by itself, then the rest; nothing for empty content."""
    if isinstance(content, str):
        return [Said(role, content)] if content else []
    if not isinstance(content, list):
        raise _wrong(place, "Input should be a valid list")
    for index, block in enumerate(content):
        _check_block(block, (*place, index), role=role, signatures=signatures)
    results = [
        Said("tool", _text_of(block.get("content", "")), block["tool_use_id"])
        for block in content
        if block["type"] == "tool_result"
    ]
    rest = [block for block in content if block["type"] != "tool_result"]
    calls = tuple(block["id"] for block in rest if block["type"] == "tool_use")
    return [*results, Said(role, _text_of(rest), calls=calls)] if rest else [*results]


def _check_block(block: Any, place: Place, *, role: str, signatures: Collection[str] | None) -> None:
    kind = str(block.get("type")) if isinstance(block, dict) else ""
    if kind in _OF_ANTHROPICS_TOOLS or kind.endswith("_tool_result"):
        return
    if kind not in BLOCKS:
        tags = ", ".join(f"'{tag}'" for tag in sorted(BLOCKS))
        raise _wrong(place, f"Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    for problem in problems(block, BLOCKS[kind], (*place, kind)):
        raise _wrong(problem.place, problem.message)
    allowed = {"user": _USERS, "assistant": _ASSISTANTS, "system": ("text",)}[role]
    if kind not in allowed:
        raise _wrong(place, f"`{kind}` blocks are not allowed in {role} messages")
    match kind:
        case "text" if not block["text"]:
            raise Refusal("messages: text content blocks must be non-empty")
        case "text" if not block["text"].strip():
            raise Refusal("messages: text content blocks must contain non-whitespace text")
        case "image" | "document":
            _check_source(block["source"], (*place, kind, "source"), kind)
        case "thinking" if signatures is not None and block["signature"] not in signatures:
            raise _wrong(place, "Invalid `signature` in `thinking` block")
        case "redacted_thinking" if signatures is not None and block["data"] not in signatures:
            raise _wrong(place, "Invalid `data` in `redacted_thinking` block")
        case "tool_result" if isinstance(block.get("content"), list):
            for index, inner in enumerate(block["content"]):
                _check_block(inner, (*place, kind, "content", index), role="user", signatures=None)


def _check_source(source: Mapping[str, Any], place: Place, kind: str) -> None:
    name = str(source.get("type"))
    if name not in _SOURCES:
        tags = ", ".join(f"'{tag}'" for tag in sorted(_SOURCES))
        raise _wrong(place, f"Input tag '{name}' found using 'type' does not match any of the expected tags: {tags}")
    for problem in problems(source, _SOURCES[name], (*place, name)):
        raise _wrong(problem.place, problem.message)
    if name == "base64":
        allowed = _IMAGES if kind == "image" else ("application/pdf",)
        if source["media_type"] not in allowed:
            named = " or ".join(filter(None, (", ".join(f"'{one}'" for one in allowed[:-1]), f"'{allowed[-1]}'")))
            raise _wrong((*place, "base64", "media_type"), f"Input should be {named}")
        try:
            base64.b64decode(source["data"], validate=True)
        except binascii.Error:
            raise _wrong((*place, "base64"), "Invalid base64 data") from None
    elif name == "url" and not source["url"].startswith("https://"):
        raise _wrong((*place, "url", "url"), "Only HTTPS URLs are supported.")


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(_texts(content or []))


def _texts(blocks: list[Mapping[str, Any]]) -> Iterator[str]:
    for block in blocks:
        if block["type"] == "text":
            yield block["text"]


def _wrong(place: Place, message: str) -> Refusal:
    return Refusal(f"{'.'.join(map(str, place))}: {message}")
