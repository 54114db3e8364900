"""OpenAI chat requests ⇄ canonical ones."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, assert_never, cast

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import (
    Audio,
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
from llm_service.dialects.base import OURS, extra_fields
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
        "response_format",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "reasoning_effort",
    }
)
NOT_TRANSLATED = frozenset({"stream", "stream_options", *OURS})

_DATA_URL = re.compile(r"data:(?P<media_type>[\w.+/-]+)?(?:;[\w=-]+)*;base64,(?P<data>.*)", re.DOTALL)


def parse_request(body: Json) -> CompletionRequest:
    """Raises Unprocessable with the field's name where a value has the wrong type."""
    fields = {name: _typed(body[name], kind, name) for name, kind in SAME_NAME.items() if body.get(name) is not None}
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    known = TRANSLATED | NOT_TRANSLATED | SAME_NAME.keys()
    unknown = {name: value for name, value in body.items() if name not in known and value is not None}
    return CompletionRequest(
        model=_typed(body.get("model"), str, "model"),
        messages=tuple(_numbered(body.get("messages"), "messages", _parse_message)),
        tools=tuple(_numbered(body.get("tools") or [], "tools", _parse_tool)),
        tool_choice=_parse_tool_choice(body.get("tool_choice")),
        output_format=_parse_output_format(body.get("response_format")),
        max_output_tokens=None if limit is None else _typed(limit, int, "max_completion_tokens"),
        stop=_parse_stop(body.get("stop")),
        thinking=_parse_thinking(body.get("reasoning_effort")),
        extra=Native(dialect="openai", value=unknown) if unknown else None,
        **fields,
    )


def _parse_thinking(effort: Any) -> Thinking | None:
    return None if effort is None else Thinking(effort=_typed(effort, str, "reasoning_effort"))


def _parse_stop(stop: Any) -> tuple[str, ...]:
    if stop is None:
        return ()
    if isinstance(stop, str):
        return (stop,)
    return tuple(_numbered(stop, "stop", lambda value, where: cast(str, _typed(value, str, where))))


def _parse_message(message: Any, where: str) -> Message:
    message = _typed(message, dict, where)
    role = ROLES.get(_typed(message.get("role", ""), str, f"{where}/role"))
    if role is None:
        raise _refusal(f"{where}/role", f"is not one of {', '.join(ROLES)}")
    name = _optional(message, "name", str, where)
    if role == "tool":
        call_id = _typed(message.get("tool_call_id"), str, f"{where}/tool_call_id")
        content = _parse_content(message.get("content"), f"{where}/content")
        said = tuple(part for part in content if isinstance(part, Text | Image))
        return Message(role=role, parts=(ToolResult(tool_call_id=call_id, parts=said),), name=name)
    parts = list(_parse_content(message.get("content"), f"{where}/content"))
    if role == "assistant":
        if reasoning := message.get("reasoning_content"):
            parts.insert(0, Reasoning(text=_typed(reasoning, str, f"{where}/reasoning_content")))
        if refusal := message.get("refusal"):
            parts.append(Refusal(_typed(refusal, str, f"{where}/refusal")))
        parts += _numbered(message.get("tool_calls") or [], f"{where}/tool_calls", _parse_tool_call)
    return Message(role=role, parts=tuple(parts), name=name)


def _parse_content(content: Any, where: str) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_numbered(content, where, _parse_part))


def _parse_part(part: Any, where: str) -> Part:
    part = _typed(part, dict, where)
    match part.get("type"):
        case "text":
            return Text(_typed(part.get("text"), str, f"{where}/text"))
        case "refusal":
            return Refusal(_typed(part.get("refusal"), str, f"{where}/refusal"))
        case "image_url":
            image = _typed(part.get("image_url"), dict, f"{where}/image_url")
            url = _typed(image.get("url"), str, f"{where}/image_url/url")
            detail = _optional(image, "detail", str, f"{where}/image_url")
            if inline := _DATA_URL.fullmatch(url):
                return Image(data=inline["data"], media_type=inline["media_type"], detail=detail)
            return Image(url=url, detail=detail)
        case "input_audio":
            audio = _typed(part.get("input_audio"), dict, f"{where}/input_audio")
            return Audio(
                data=_typed(audio.get("data"), str, f"{where}/input_audio/data"),
                format=_typed(audio.get("format"), str, f"{where}/input_audio/format"),
            )
        case "file":
            file = _typed(part.get("file"), dict, f"{where}/file")
            inline = _DATA_URL.fullmatch(_optional(file, "file_data", str, f"{where}/file") or "")
            return Document(
                data=inline["data"] if inline else None,
                media_type=inline["media_type"] if inline else None,
                file_id=_optional(file, "file_id", str, f"{where}/file"),
                name=_optional(file, "filename", str, f"{where}/file"),
            )
        case _:
            return Opaque(native=Native(dialect="openai", value=part))


def _parse_tool_call(call: Any, where: str) -> ToolCall:
    function = _typed(_typed(call, dict, where).get("function"), dict, f"{where}/function")
    return ToolCall(
        id=_typed(call.get("id"), str, f"{where}/id"),
        name=_typed(function.get("name"), str, f"{where}/function/name"),
        arguments=_typed(function.get("arguments"), str, f"{where}/function/arguments"),
    )


def _parse_tool(tool: Any, where: str) -> Tool:
    if _typed(tool, dict, where).get("type") != "function":
        raise _refusal(f"{where}/type", "must be 'function' for this provider")
    function = _typed(tool.get("function"), dict, f"{where}/function")
    return Tool(
        name=_typed(function.get("name"), str, f"{where}/function/name"),
        description=_optional(function, "description", str, f"{where}/function") or "",
        parameters=_optional(function, "parameters", dict, f"{where}/function"),
        strict=_optional(function, "strict", bool, f"{where}/function"),
    )


def _parse_tool_choice(choice: Any) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(mode=choice)
        case {"type": "function", "function": {"name": str(name)}}:
            return ToolChoice(mode="function", names=(name,))
        case _:
            raise _refusal("/tool_choice", "is not auto, none, required or a function")


def _parse_output_format(value: Any) -> OutputFormat | None:
    match value:
        case None:
            return None
        case {"type": "text" | "json_object" as mode}:
            return OutputFormat(mode=mode)
        case {"type": "json_schema", "json_schema": {"name": str(name)} as named}:
            return OutputFormat(mode="json_schema", name=name, schema=named.get("schema"), strict=named.get("strict"))
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


def render_request(request: CompletionRequest, *, losses: Losses) -> Json:
    """What OpenAI's protocol cannot express goes to `losses`."""
    messages = [rendered for message in request.messages for rendered in _render(message, losses)]
    body: Json = {"model": request.model, "messages": messages}
    body |= {name: value for name in SAME_NAME if (value := getattr(request, name)) is not None}
    if request.tools:
        body["tools"] = [_render_tool(tool) for tool in request.tools if isinstance(tool, Tool)]
    if choice := request.tool_choice:
        named = {"type": "function", "function": {"name": choice.names[0] if choice.names else None}}
        body["tool_choice"] = named if choice.mode == "function" else choice.mode
    if output := request.output_format:
        body["response_format"] = {"type": output.mode}
        if output.mode == "json_schema":
            wanted = {"name": output.name, "schema": output.schema, "strict": output.strict}
            body["response_format"]["json_schema"] = {k: v for k, v in wanted.items() if v is not None}
    if request.max_output_tokens is not None:
        body["max_completion_tokens"] = request.max_output_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    if request.thinking and request.thinking.effort:
        body["reasoning_effort"] = request.thinking.effort
    return body | extra_fields(request, dialect="openai", losses=losses)


def _render(message: Message, losses: Losses) -> list[Json]:
    """One message, or one per tool result: OpenAI has a message of its own for each."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    rendered: list[Json] = [
        {"role": "tool", "tool_call_id": part.tool_call_id, "content": _render_content(part.parts, losses)}
        for part in results
    ]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    reasoning = "".join(part.text for part in message.parts if isinstance(part, Reasoning))
    rest = [part for part in message.parts if not isinstance(part, ToolResult | ToolCall | Reasoning)]
    if message.role == "tool" or (results and not rest):
        return rendered
    body: Json = {"role": message.role, "content": _render_content(rest, losses)}
    if message.name:
        body["name"] = message.name
    if calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    if reasoning:
        body["reasoning_content"] = reasoning
    return [*rendered, body]


def _render_content(parts: Sequence[Part], losses: Losses) -> str | list[Json] | None:
    if not parts:
        return None
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [rendered for part in parts if (rendered := _render_part(part, losses)) is not None]


def _render_part(part: Part, losses: Losses) -> Json | None:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Image():
            image: Json = {"url": part.url or f"data:{part.media_type};base64,{part.data}"}
            return {"type": "image_url", "image_url": {**image, **({"detail": part.detail} if part.detail else {})}}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case Document():
            if part.url:
                losses.drop("document.url", target="openai")
                return None
            inline = f"data:{part.media_type};base64,{part.data}" if part.data else None
            file = {"file_data": inline, "file_id": part.file_id, "filename": part.name}
            return {"type": "file", "file": {name: value for name, value in file.items() if value is not None}}
        case Opaque():
            if part.native.dialect != "openai":
                losses.drop(str(part.native.value.get("type")), target="openai")
                return None
            return part.native.value
        case Reasoning() | ToolCall() | ToolResult():
            raise AssertionError("rendered with its message")
        case _:
            assert_never(part)


def _render_tool(tool: Tool) -> Json:
    function = {"name": tool.name, "description": tool.description or None}
    function |= {"parameters": tool.parameters, "strict": tool.strict}  # type: ignore[dict-item] # JSON values
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}
