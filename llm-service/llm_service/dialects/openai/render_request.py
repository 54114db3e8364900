"""Canonical requests -> OpenAI chat requests."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, assert_never

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import (
    Audio,
    CompletionRequest,
    Document,
    Image,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llm_service.dialects.base import extra_fields
from llm_service.dialects.openai.parse_request import SAME_NAME

Json = dict[str, Any]

OPENAI = "openai"
EFFORTS = ((2048, "low"), (8192, "medium"))
"""Up to how many tokens of thought a word stands for; beyond, it is `high`."""
SHOWN_BELOW = "(The image is in the next message.)"


def render_request(request: CompletionRequest, *, losses: Losses) -> Json:
    """What OpenAI's protocol cannot express goes to `losses`."""
    body: Json = {"model": request.model, "messages": _render_messages(request.messages, losses)}
    body |= {name: value for name in SAME_NAME if (value := getattr(request, name)) is not None}
    if request.top_k is not None:
        losses.drop("top_k", target=OPENAI)
    if tools := [rendered for tool in request.tools if (rendered := _render_tool(tool, losses)) is not None]:
        body["tools"] = tools
    if request.tool_choice:
        body["tool_choice"] = _render_tool_choice(request.tool_choice)
    if request.output_format:
        body["response_format"] = _render_output_format(request.output_format)
    if request.max_output_tokens is not None:
        body["max_completion_tokens"] = request.max_output_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    if request.thinking and (effort := _effort(request.thinking)):
        body["reasoning_effort"] = effort
    return body | extra_fields(request, dialect=OPENAI, losses=losses)


def _effort(thinking: Thinking) -> str | None:
    """A budget is said in the nearest word."""
    if thinking.enabled is False:
        return "none"
    if thinking.effort is not None or thinking.budget is None:
        return thinking.effort
    return next((word for tokens, word in EFFORTS if thinking.budget <= tokens), "high")


def _render_messages(messages: Sequence[Message], losses: Losses) -> list[Json]:
    """Images in results of tools stand in a message after all results: there OpenAI takes text only."""
    rendered: list[Json] = []
    shown: list[Json] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        for result in results:
            said, images = _render_result(result, losses)
            rendered.append(said)
            shown += images
        rest = [part for part in message.parts if not isinstance(part, ToolResult)]
        if not rest:
            continue
        body = _render_message(message, rest, losses)
        if shown:
            rendered, shown = _with_shown(rendered, shown), []
        rendered.append(body)
    return _with_shown(rendered, shown)


def _with_shown(rendered: list[Json], shown: list[Json]) -> list[Json]:
    return [*rendered, {"role": "user", "content": shown}] if shown else rendered


def _render_result(result: ToolResult, losses: Losses) -> tuple[Json, list[Json]]:
    """The tool's message, and the images that go below it. There is no flag for an error: the text says it."""
    texts = [part for part in result.parts if isinstance(part, Text)]
    others = [part for part in result.parts if not isinstance(part, Text)]
    shown = [image for part in others if (image := _render_part(part, losses)) is not None]
    text = "".join(part.text for part in texts)
    if result.is_error and not text.lower().startswith("error"):
        text = f"Error: {text}"
    if shown and not text:
        text = SHOWN_BELOW
    return {"role": "tool", "tool_call_id": result.tool_call_id, "content": text}, shown


def _render_message(message: Message, parts: Sequence[Part], losses: Losses) -> Json:
    calls = [part for part in parts if isinstance(part, ToolCall)]
    native = [part for part in parts if isinstance(part, Opaque) and _is_native_call(part)]
    thoughts = "".join(part.text for part in parts if isinstance(part, Reasoning) and part.signature is None)
    said = [part for part in parts if not isinstance(part, ToolCall | Reasoning) and part not in native]
    body: Json = {"role": message.role, "content": _render_content(said, losses)}
    if message.name:
        body["name"] = message.name
    if calls or native:
        body["tool_calls"] = [*map(_render_call, calls), *(part.native.value for part in native)]
    if thoughts:
        body["reasoning_content"] = thoughts
    for part in said:
        if isinstance(part, Opaque) and _is_audio(part):
            body["audio"] = part.native.value["audio"]
    return body


def _render_call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _is_native_call(part: Opaque) -> bool:
    return part.native.dialect == OPENAI and "id" in part.native.value and part.native.value.get("type") == "custom"


def _is_audio(part: Opaque) -> bool:
    """What the model said aloud before, by its id: it stands beside the content."""
    return part.native.dialect == OPENAI and part.native.value.get("type") == "audio"


def _render_content(parts: Sequence[Part], losses: Losses) -> str | list[Json] | None:
    rendered = [one for part in parts if (one := _render_part(part, losses)) is not None]
    if not rendered:
        return None
    if len(rendered) == 1 and rendered[0]["type"] == "text":
        return str(rendered[0]["text"])
    return rendered


def _render_part(part: Part, losses: Losses) -> Json | None:
    match part:
        case Text():
            if part.cache:
                losses.ignore("cache_control")
            return {"type": "text", "text": part.text}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Image():
            return _render_image(part, losses)
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case Document():
            return _render_document(part, losses)
        case Opaque():
            if part.native.dialect != OPENAI:
                losses.drop(str(part.native.value.get("type")), target=OPENAI)
                return None
            return None if _is_audio(part) else part.native.value
        case Reasoning() | ToolCall() | ToolResult():
            raise AssertionError("rendered with its message")
        case _:
            assert_never(part)


def _render_image(image: Image, losses: Losses) -> Json | None:
    if image.file_id is not None:
        losses.drop("image.file_id", target=OPENAI)
        return None
    url = image.url or f"data:{image.media_type};base64,{image.data}"
    return {"type": "image_url", "image_url": {"url": url, **({"detail": image.detail} if image.detail else {})}}


def _render_document(document: Document, losses: Losses) -> Json | None:
    """Plain text is said as text: OpenAI takes PDF as files, and nothing else."""
    if document.cited:
        losses.drop("citations", target=OPENAI)
    if document.url is not None:
        losses.drop("document.url", target=OPENAI)
        return None
    if (text := _plain_text(document)) is not None:
        title = "\n".join(filter(None, (document.name, document.context)))
        return {"type": "text", "text": f"{title}\n\n{text}" if title else text}
    inline = f"data:{document.media_type};base64,{document.data}" if document.data else None
    name = document.name or ("document.pdf" if inline else None)
    file = {"file_data": inline, "file_id": document.file_id, "filename": name}
    return {"type": "file", "file": {name: value for name, value in file.items() if value is not None}}


def _plain_text(document: Document) -> str | None:
    if document.text is not None:
        return document.text
    if document.data is None or not (document.media_type or "").startswith("text/"):
        return None
    try:
        return base64.b64decode(document.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _render_tool(tool: Tool | Opaque, losses: Losses) -> Json | None:
    if isinstance(tool, Opaque):
        if tool.native.dialect != OPENAI:
            losses.drop(f"tools.{tool.native.value.get('type') or next(iter(tool.native.value), '')}", target=OPENAI)
            return None
        return tool.native.value
    if tool.cache:
        losses.ignore("cache_control")
    function: Json = {"name": tool.name, "description": tool.description or None}
    function |= {"parameters": tool.parameters, "strict": tool.strict}
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def _render_tool_choice(choice: ToolChoice) -> str | Json:
    functions = [{"type": "function", "function": {"name": name}} for name in choice.names]
    if choice.mode == "function" and functions:
        return functions[0]
    if functions:
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": functions}}
    return choice.mode


def _render_output_format(output: OutputFormat) -> Json:
    if output.mode != "json_schema":
        return {"type": output.mode}
    wanted: Json = {"name": output.name or "answer", "description": output.description}
    wanted |= {"schema": output.schema, "strict": output.strict}
    return {"type": "json_schema", "json_schema": {name: value for name, value in wanted.items() if value is not None}}
