"""Content blocks of a request ⇄ canonical parts (https://platform.claude.com/docs/en/api/messages#messages)."""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import (
    Audio,
    CacheMark,
    Citation,
    Document,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from llm_service.dialects.anthropic.ids import tool_id
from llm_service.dialects.anthropic.seals import NAME, is_ours, opened
from llm_service.dialects.reading import numbered, optional, typed

Json = dict[str, Any]
_OBJECT = msgspec.json.Decoder(Json)

OWN_FILE = "file_"
"""How the ids of Anthropic's Files API begin; another provider's file is not there."""
INVALID_JSON = "INVALID_JSON"
"""Under which Anthropic wants to be told of arguments that are no JSON object
(https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming)."""


def parse_content(content: Any, where: str) -> tuple[Part, ...]:
    """Text alone, or blocks. Raises Unprocessable."""
    if isinstance(content, str):
        return (Text(content),) if content else ()
    parts: list[Part] = []
    of_call: Signature | None = None
    for block in numbered(content, where, lambda block, place: (typed(block, dict, place), place)):
        part = _parse_block(*block)
        if isinstance(part, Signature):  # of the call that follows
            of_call = part
            continue
        if isinstance(part, ToolCall):
            part, of_call = msgspec.structs.replace(part, signature=of_call), None
        parts.append(part)
    return tuple(parts)


def _parse_block(block: Json, where: str) -> Part | Signature:
    cache = parse_cache(block.get("cache_control"), f"{where}/cache_control")
    match block.get("type"):
        case "text":
            cited = numbered(block.get("citations") or [], f"{where}/citations", lambda one, at: typed(one, dict, at))
            return Text(typed(block.get("text"), str, f"{where}/text"), tuple(map(parse_citation, cited)), cache=cache)
        case "image":
            return _parse_image(block, where, cache) or _opaque(block)
        case "document":
            return _parse_document(block, where, cache) or _opaque(block)
        case "thinking":
            thought = typed(block.get("thinking"), str, f"{where}/thinking")
            seal = opened(optional(block, "signature", str, where) or "")
            if seal and seal.of_call:
                return seal.signature
            return Reasoning(text=thought, signature=seal.signature if seal else None)
        case "redacted_thinking":
            seal = opened(typed(block.get("data"), str, f"{where}/data"))
            return Reasoning(redacted=seal.signature if seal else None)
        case "tool_use" if (block.get("caller") or {"type": "direct"}) == {"type": "direct"}:
            return ToolCall(
                id=typed(block.get("id"), str, f"{where}/id"),
                name=typed(block.get("name"), str, f"{where}/name"),
                arguments=_arguments(typed(block.get("input"), dict, f"{where}/input")),
                cache=cache,
            )
        case "tool_result":
            inner = parse_content(block.get("content") or "", f"{where}/content")
            return ToolResult(
                tool_call_id=typed(block.get("tool_use_id"), str, f"{where}/tool_use_id"),
                parts=tuple(part for part in inner if isinstance(part, Text | Image | Document | Opaque)),
                is_error=optional(block, "is_error", bool, where) or False,
                cache=cache,
            )
        case _:
            typed(block.get("type"), str, f"{where}/type")
            return _opaque(block)


def _opaque(block: Json) -> Opaque:
    return Opaque(native=Native(dialect=NAME, value=block))


def _arguments(given: Json) -> str:
    """The text that the model wrote, where it was no JSON."""
    wrapped = given.get(INVALID_JSON)
    if isinstance(wrapped, str) and len(given) == 1:
        return wrapped
    return msgspec.json.encode(given).decode()


def parse_cache(mark: Any, where: str) -> CacheMark | None:
    return CacheMark(ttl=optional(typed(mark, dict, where), "ttl", str, where)) if mark is not None else None


def parse_citation(citation: Json) -> Citation:
    """Its positions are the source's, not the answer's, so only the native form has them."""
    return Citation(
        url=_text(citation.get("url") or citation.get("source")),
        title=_text(citation.get("title") or citation.get("document_title")),
        cited_text=_text(citation.get("cited_text")),
        native=None if is_ours(citation) else Native(dialect=NAME, value=citation),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _parse_image(block: Json, where: str, cache: CacheMark | None) -> Image | None:
    source, place = typed(block.get("source"), dict, f"{where}/source"), f"{where}/source"
    match source.get("type"):
        case "base64":
            data, media_type = (typed(source.get(name), str, f"{place}/{name}") for name in ("data", "media_type"))
            return Image(data=data, media_type=media_type, cache=cache)
        case "url":
            return Image(url=typed(source.get("url"), str, f"{place}/url"), cache=cache)
        case "file":
            return Image(file_id=typed(source.get("file_id"), str, f"{place}/file_id"), cache=cache)
        case _:
            return None


def _parse_document(block: Json, where: str, cache: CacheMark | None) -> Document | None:
    source, place = typed(block.get("source"), dict, f"{where}/source"), f"{where}/source"
    kind = source.get("type")
    held = {"base64": "data", "text": "data", "url": "url", "file": "file_id"}.get(
        kind if isinstance(kind, str) else ""
    )
    if held is None:
        return None
    content = {"text" if kind == "text" else held: typed(source.get(held), str, f"{place}/{held}")}
    citations = optional(block, "citations", dict, where) or {}
    return Document(
        **content,
        media_type=optional(source, "media_type", str, place),
        name=optional(block, "title", str, where),
        context=optional(block, "context", str, where),
        cited=bool(citations.get("enabled")),
        cache=cache,
    )


def render_content(parts: Iterable[Part], losses: Losses) -> list[Json]:
    return [block for part in parts for block in _render_part(part, losses)]


def _render_part(part: Part, losses: Losses) -> list[Json]:
    match part:
        case Text():
            return _render_text(part)
        case Refusal():
            return [{"type": "text", "text": part.text}] if part.text.strip() else []
        case Image():
            return _render_image(part, losses)
        case Document():
            return _render_document(part, losses)
        case Audio():
            losses.drop("input_audio", target=NAME)
            return []
        case Reasoning():
            return _render_reasoning(part)
        case ToolCall():
            call = {"type": "tool_use", "id": tool_id(part.id), "name": part.name, "input": arguments(part.arguments)}
            return [_marked(call, part.cache)]
        case ToolResult():
            result: Json = {"type": "tool_result", "tool_use_id": tool_id(part.tool_call_id)}
            if content := alone_or_list(render_content(part.parts, losses)):
                result["content"] = content
            return [_marked({**result, **({"is_error": True} if part.is_error else {})}, part.cache)]
        case Opaque():
            if part.native.dialect == NAME:
                return [part.native.value]
            losses.drop(str(part.native.value.get("type")), target=NAME)
            return []
        case _:
            assert_never(part)


def alone_or_list(blocks: list[Json]) -> str | list[Json]:
    """Text that is nothing but text is said as text."""
    match blocks:
        case []:
            return ""
        case [{"type": "text", "text": str(text), **more}] if not more:
            return text
        case _:
            return blocks


def arguments(text: str) -> Json:
    """A call's arguments as the object that Anthropic demands."""
    try:
        return _OBJECT.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {INVALID_JSON: text}


def cache_control(cache: CacheMark | None) -> Json:
    """The field by itself; none where there is no mark."""
    if cache is None:
        return {}
    return {"cache_control": {"type": "ephemeral", **({"ttl": cache.ttl} if cache.ttl else {})}}


def _marked(block: Json, cache: CacheMark | None) -> Json:
    return {**block, **cache_control(cache)}


def _render_text(part: Text) -> list[Json]:
    """Anthropic takes no text without a letter; citations that others made mean nothing to it."""
    if not part.text.strip():
        return []
    cited = [one.native.value for one in part.citations if one.native and one.native.dialect == NAME]
    return [_marked({"type": "text", "text": part.text, **({"citations": cited} if cited else {})}, part.cache)]


def _render_image(part: Image, losses: Losses) -> list[Json]:
    if part.detail not in (None, "auto"):
        losses.ignore("image_url.detail")
    if part.file_id is not None and not part.file_id.startswith(OWN_FILE):
        losses.drop("file_id", target=NAME)
        return []
    if part.data is not None:
        source = {"type": "base64", "media_type": part.media_type or "image/png", "data": part.data}
    elif part.file_id is not None:
        source = {"type": "file", "file_id": part.file_id}
    else:
        source = {"type": "url", "url": part.url or ""}
    return [_marked({"type": "image", "source": source}, part.cache)]


def _render_document(part: Document, losses: Losses) -> list[Json]:
    source = _document_source(part, losses)
    if source is None:
        return []
    block: Json = {"type": "document", "source": source}
    block |= {name: value for name, value in (("title", part.name), ("context", part.context)) if value}
    if part.cited:
        block["citations"] = {"enabled": True}
    return [_marked(block, part.cache)]


def _document_source(part: Document, losses: Losses) -> Json | None:
    """PDFs as they are, texts as text; what else a file may be Anthropic cannot read."""
    media_type = part.media_type or "application/pdf"
    if part.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": part.text}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.file_id is not None and part.file_id.startswith(OWN_FILE):
        return {"type": "file", "file_id": part.file_id}
    if part.data is not None and media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": part.data}
    if part.data is not None and (media_type.startswith("text/") or media_type == "application/json"):
        try:
            return {"type": "text", "media_type": "text/plain", "data": b64decode(part.data, validate=True).decode()}
        except (NotBase64, UnicodeDecodeError, ValueError):
            pass
    losses.drop("file_id" if part.data is None else "file_data", target=NAME)
    return None


def _render_reasoning(part: Reasoning) -> list[Json]:
    """Only thoughts that Anthropic has signed go back to it."""
    blocks: list[Json] = []
    if part.redacted and part.redacted.dialect == NAME:
        blocks.append({"type": "redacted_thinking", "data": part.redacted.value})
    if part.signature and part.signature.dialect == NAME:
        blocks.append({"type": "thinking", "thinking": part.text, "signature": part.signature.value})
    return blocks
