"""OpenAI chat requests -> canonical ones."""

import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from llm_service.canonical.request import (
    Audio,
    CacheMark,
    CompletionRequest,
    Document,
    Image,
    Message,
    Native,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llm_service.dialects.base import OURS
from llm_service.dialects.openai.reasoning import seal_of_call, thoughts_of
from shared.errors import Unprocessable

Json = dict[str, Any]
T = TypeVar("T")

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
SAME_NAME: dict[str, type | tuple[type, ...]] = {
    "temperature": (int, float),
    "top_p": (int, float),
    "frequency_penalty": (int, float),
    "presence_penalty": (int, float),
    "seed": int,
    "logprobs": bool,
    "top_logprobs": int,
    "service_tier": str,
    "user": str,
    "metadata": dict,
    "parallel_tool_calls": bool,
}
"""Fields that mean the same under the same name, with the JSON types they may have."""
TRANSLATED = frozenset(
    {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "response_format",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "reasoning_effort",
    }
)
NOT_TRANSLATED = frozenset({"stream", "stream_options", *OURS})
HINTS = frozenset({"store", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"})
"""Fields that change no answer: labels, and wishes about the provider's own memory."""
NEUTRAL: Json = {"n": 1, "store": False, "logit_bias": {}, "modalities": ["text"], "logprobs": False}
"""Values that ask for nothing: such a field counts as absent."""

_DATA_URL = re.compile(r"data:(?P<media_type>[\w.+/-]+)?(?:;[\w=-]+)*;base64,(?P<data>.*)", re.DOTALL)


def parse_request(body: Json) -> CompletionRequest:
    """Raises Unprocessable with the field's name where a value has the wrong type."""
    body = {name: value for name, value in body.items() if value is not None and NEUTRAL.get(name, body) != value}
    fields = {name: _typed(body[name], kind, name) for name, kind in SAME_NAME.items() if name in body}
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    unknown = {
        name: value for name, value in body.items() if name not in TRANSLATED | NOT_TRANSLATED | SAME_NAME.keys()
    }
    return CompletionRequest(
        model=_typed(body.get("model"), str, "model"),
        messages=tuple(_numbered(body.get("messages"), "messages", _parse_message)),
        tools=(
            *_numbered(body.get("tools") or [], "tools", _parse_tool),
            *_numbered(body.get("functions") or [], "functions", _parse_function),
        ),
        tool_choice=_parse_tool_choice(body.get("tool_choice", body.get("function_call"))),
        output_format=_parse_output_format(body.get("response_format")),
        max_output_tokens=None if limit is None else _typed(limit, int, "max_completion_tokens"),
        stop=_parse_stop(body.get("stop")),
        thinking=_parse_thinking(body.get("reasoning_effort")),
        extra=_native({name: value for name, value in unknown.items() if name not in HINTS}),
        hints=_native({name: value for name, value in unknown.items() if name in HINTS}),
        **fields,
    )


def _native(fields: Json) -> Native | None:
    return Native(dialect="openai", value=fields) if fields else None


def _parse_thinking(effort: Any) -> Thinking | None:
    if effort is None:
        return None
    effort = _typed(effort, str, "reasoning_effort")
    return Thinking(enabled=False) if effort == "none" else Thinking(effort=effort)


def _parse_stop(stop: Any) -> tuple[str, ...]:
    if stop is None:
        return ()
    if isinstance(stop, str):
        return (stop,)
    return tuple(_numbered(stop, "stop", lambda value, where: cast(str, _typed(value, str, where))))


def _parse_message(message: Any, where: str) -> Message:
    message = _typed(message, dict, where)
    written = _typed(message.get("role", ""), str, f"{where}/role")
    name = _optional(message, "name", str, where)
    content = _parse_content(message.get("content"), f"{where}/content")
    if written in ("tool", "function"):
        said = tuple(part for part in content if isinstance(part, Text | Image | Document))
        call_id = name if written == "function" else message.get("tool_call_id")
        call_id = _typed(call_id, str, f"{where}/{'name' if written == 'function' else 'tool_call_id'}")
        return Message(role="tool", parts=(ToolResult(tool_call_id=call_id, parts=said),))
    role = ROLES.get(written)
    if role is None:
        raise _refusal(f"{where}/role", f"is not one of {', '.join(ROLES)}")
    if role != "assistant":
        return Message(role=role, parts=content, name=name)
    return Message(role=role, parts=_parse_assistant(message, content, where), name=name)


def _parse_assistant(message: Json, content: tuple[Part, ...], where: str) -> tuple[Part, ...]:
    parts = [*_parse_thoughts(message, where), *content]
    if refusal := message.get("refusal"):
        parts.append(Refusal(_typed(refusal, str, f"{where}/refusal")))
    parts += _numbered(message.get("tool_calls") or [], f"{where}/tool_calls", _parse_tool_call)
    if call := message.get("function_call"):
        name = _typed(_typed(call, dict, f"{where}/function_call").get("name"), str, f"{where}/function_call/name")
        parts.append(ToolCall(id=name, name=name, arguments=str(call.get("arguments") or "")))
    if audio := message.get("audio"):
        parts.append(Opaque(native=Native(dialect="openai", value={"type": "audio", "audio": audio})))
    return tuple(parts)


def _parse_thoughts(message: Json, where: str) -> list[Part]:
    """The details say all that the text says, and more."""
    details = message.get("reasoning_details")
    if isinstance(details, list) and (thoughts := thoughts_of(details)):
        return list(thoughts)
    text = message.get("reasoning_content") or message.get("reasoning")
    return [Reasoning(text=_typed(text, str, f"{where}/reasoning_content"))] if text else []


def _parse_content(content: Any, where: str) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_numbered(content, where, _parse_part))


def _parse_part(part: Any, where: str) -> Part:
    part = _typed(part, dict, where)
    cache = _parse_cache(part.get("cache_control"))
    match part.get("type"):
        case "text":
            return Text(_typed(part.get("text"), str, f"{where}/text"), cache=cache)
        case "refusal":
            return Refusal(_typed(part.get("refusal"), str, f"{where}/refusal"))
        case "image_url":
            image = _typed(part.get("image_url"), dict, f"{where}/image_url")
            url = _typed(image.get("url"), str, f"{where}/image_url/url")
            detail = _optional(image, "detail", str, f"{where}/image_url")
            if inline := _DATA_URL.fullmatch(url):
                return Image(data=inline["data"], media_type=inline["media_type"], detail=detail, cache=cache)
            return Image(url=url, detail=detail, cache=cache)
        case "input_audio":
            audio = _typed(part.get("input_audio"), dict, f"{where}/input_audio")
            return Audio(
                data=_typed(audio.get("data"), str, f"{where}/input_audio/data"),
                format=_typed(audio.get("format"), str, f"{where}/input_audio/format"),
                cache=cache,
            )
        case "file":
            return _parse_file(_typed(part.get("file"), dict, f"{where}/file"), f"{where}/file", cache)
        case _:
            return Opaque(native=Native(dialect="openai", value=part))


def _parse_file(file: Json, where: str, cache: CacheMark | None) -> Document:
    content = _optional(file, "file_data", str, where)
    inline = _DATA_URL.fullmatch(content or "")
    data = inline["data"] if inline else content
    return Document(
        data=data,
        media_type=inline["media_type"] if inline else "application/pdf" if data else None,
        file_id=_optional(file, "file_id", str, where),
        name=_optional(file, "filename", str, where),
        cache=cache,
    )


def _parse_cache(mark: Any) -> CacheMark | None:
    """Anthropic's mark, which clients of this dialect send along too."""
    match mark:
        case {"type": "ephemeral", "ttl": str(ttl)}:
            return CacheMark(ttl=ttl)
        case {"type": "ephemeral"}:
            return CacheMark()
        case _:
            return None


def _parse_tool_call(call: Any, where: str) -> Part:
    call = _typed(call, dict, where)
    if call.get("type", "function") != "function":
        return Opaque(native=Native(dialect="openai", value=call))
    function = _typed(call.get("function"), dict, f"{where}/function")
    return ToolCall(
        id=_typed(call.get("id"), str, f"{where}/id"),
        name=_typed(function.get("name"), str, f"{where}/function/name"),
        arguments=_typed(function.get("arguments"), str, f"{where}/function/arguments"),
        signature=seal_of_call(call),
    )


def _parse_tool(tool: Any, where: str) -> Tool | Opaque:
    tool = _typed(tool, dict, where)
    if tool.get("type") != "function":
        return Opaque(native=Native(dialect="openai", value=tool))
    function = _parse_function(tool.get("function"), f"{where}/function")
    cache = _parse_cache(tool.get("cache_control"))
    return Tool(
        name=function.name,
        description=function.description,
        parameters=function.parameters,
        strict=function.strict,
        cache=cache,
    )


def _parse_function(function: Any, where: str) -> Tool:
    function = _typed(function, dict, where)
    return Tool(
        name=_typed(function.get("name"), str, f"{where}/name"),
        description=_optional(function, "description", str, where) or "",
        parameters=_optional(function, "parameters", dict, where),
        strict=_optional(function, "strict", bool, where),
    )


def _parse_tool_choice(choice: Any) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(mode=choice)
        case {"type": "function", "function": {"name": str(name)}} | {"name": str(name)}:
            return ToolChoice(mode="function", names=(name,))
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(tools)}}:
            names = [tool.get("function", {}).get("name") for tool in tools if isinstance(tool, dict)]
            return ToolChoice(mode=mode, names=tuple(name for name in names if isinstance(name, str)))
        case _:
            raise _refusal("/tool_choice", "is not auto, none, required, a function or allowed_tools")


def _parse_output_format(value: Any) -> OutputFormat | None:
    match value:
        case None:
            return None
        case {"type": "text" | "json_object" as mode}:
            return OutputFormat(mode=mode)
        case {"type": "json_schema", "json_schema": {"name": str(name)} as named}:
            where = "response_format/json_schema"
            return OutputFormat(
                mode="json_schema",
                name=name,
                description=_optional(named, "description", str, where),
                schema=_optional(named, "schema", dict, where),
                strict=_optional(named, "strict", bool, where),
            )
        case _:
            raise _refusal("/response_format", "is not text, json_object or a json_schema with a name")


def _numbered(values: Any, where: str, parse: Callable[[Any, str], T]) -> list[T]:
    values = _typed(values, list, where)
    return [parse(value, f"{where if where.startswith('/') else '/' + where}/{n}") for n, value in enumerate(values)]


def _typed(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    """`value`, if it is of that JSON type (true is no number)."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
        raise _refusal(where, f"must be {' or '.join(JSON_NAMES[one] for one in kinds if one in JSON_NAMES)}")
    return value


def _optional(values: Json, name: str, kind: type, where: str) -> Any:
    value = values.get(name)
    return None if value is None else _typed(value, kind, f"{where}/{name}")


JSON_NAMES = {
    str: "a string",
    dict: "an object",
    list: "a list",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
}


def _refusal(where: str, what: str) -> Unprocessable:
    pointer = where if where.startswith("/") else f"/{where}"
    errors = [{"pointer": pointer, "in": "body", "detail": what}]
    return Unprocessable(f"body {pointer} {what}.", param=pointer[1:].split("/")[0], errors=errors)
