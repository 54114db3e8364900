"""OpenAI's Responses (https://platform.openai.com/docs/api-reference/responses) in canonical words: as much of a
reader as it takes to show that they have a place for it. The tables name the place of every type of the SDK."""

from typing import Any

import msgspec

from llm_service.canonical.request import (
    Citation,
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
    Signature,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from shared.events import Usage

Json = dict[str, Any]
DIALECT = "responses"


class Elsewhere(str):
    """Why something has no place in a request or an event."""

    __slots__ = ()


NATIVE = "request.Opaque"
NATIVE_EVENT = "events.NativeAdded"
WHOLE = Elsewhere("repeats what its deltas, and the answer that is collected of them, say")
FRAME = Elsewhere("begins or ends a block: the next event of another kind, or of another number, does")
PROGRESS = Elsewhere("tells that the provider's own tool is at work; what it did is an item, NativeAdded")
STATE = Elsewhere("state that OpenAI's servers keep: the ingress has to refuse it, or to hold it itself")
DELIVERY = Elsewhere("how the answer is delivered, not what is asked")


def each(names: str, place: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), place)


ITEMS: dict[str, str] = {
    "message": "request.Message",
    "reasoning": "request.Reasoning",
    "function_call": "request.ToolCall",
    "function_call_output": "request.ToolResult",
    "item_reference": STATE,
    "compaction_trigger": DELIVERY,
    **each(
        """additional_tools apply_patch_call apply_patch_call_output code_interpreter_call compaction computer_call
        computer_call_output configuration_update custom_tool_call custom_tool_call_output file_search_call
        image_generation_call local_shell_call local_shell_call_output mcp_approval_request mcp_approval_response
        mcp_call mcp_list_tools program program_output shell_call shell_call_output tool_search_call tool_search_output
        web_search_call""",
        NATIVE,
    ),
}
TOOLS: dict[str, str] = {
    "function": "request.Tool",
    **each(
        """apply_patch code_interpreter computer computer_use_preview custom file_search image_generation local_shell
        mcp namespace programmatic_tool_calling shell tool_search web_search web_search_2025_08_26 web_search_preview
        web_search_preview_2025_03_11""",
        NATIVE,
    ),
}
ANNOTATIONS: dict[str, str] = {
    "url_citation": "request.Citation",
    **dict.fromkeys(["container_file_citation", "file_citation", "file_path"], "request.Citation.native"),
}
EVENTS: dict[str, str] = {
    "error": Elsewhere("raised as ProviderError"),
    "response.failed": Elsewhere("raised as ProviderError"),
    "response.created": "events.Started",
    "response.queued": DELIVERY,
    "response.in_progress": Elsewhere("Started has been told"),
    "response.completed": "events.Finished",
    "response.incomplete": "events.Finished",
    "response.output_text.delta": "events.TextDelta",
    "response.output_text.annotation.added": "events.Cited",
    "response.refusal.delta": "events.RefusalDelta",
    "response.reasoning_text.delta": "events.ReasoningDelta",
    "response.reasoning_summary_text.delta": "events.ReasoningDelta",
    "response.function_call_arguments.delta": "events.ToolCallDelta",
    "response.audio.delta": "events.MediaAdded",
    "response.audio.transcript.delta": "events.TextDelta",
    "response.image_generation_call.partial_image": "events.MediaAdded",
    "response.output_item.added": "events.ToolCallDelta",
    "response.output_item.done": NATIVE_EVENT,
    **each(
        """response.output_text.done response.refusal.done response.reasoning_text.done
        response.reasoning_summary_text.done response.function_call_arguments.done response.audio.done
        response.audio.transcript.done response.custom_tool_call_input.done response.mcp_call_arguments.done
        response.code_interpreter_call_code.done response.shell_call_command.done
        response.shell_call_output_content.done""",
        WHOLE,
    ),
    **each(
        """response.content_part.added response.content_part.done response.reasoning_summary_part.added
        response.reasoning_summary_part.done""",
        FRAME,
    ),
    **each(
        """response.code_interpreter_call.completed response.code_interpreter_call.in_progress
        response.code_interpreter_call.interpreting response.code_interpreter_call_code.delta
        response.compaction.compacting response.custom_tool_call_input.delta response.file_search_call.completed
        response.file_search_call.in_progress response.file_search_call.searching
        response.image_generation_call.completed response.image_generation_call.generating
        response.image_generation_call.in_progress response.mcp_call.completed response.mcp_call.failed
        response.mcp_call.in_progress response.mcp_call_arguments.delta response.mcp_list_tools.completed
        response.mcp_list_tools.failed response.mcp_list_tools.in_progress response.shell_call_command.added
        response.shell_call_command.delta response.shell_call_output_content.delta
        response.web_search_call.completed response.web_search_call.in_progress
        response.web_search_call.searching""",
        PROGRESS,
    ),
}
FIELDS: dict[str, str] = {
    "input": "request.CompletionRequest.messages",
    "instructions": "request.CompletionRequest.messages",
    "max_output_tokens": "request.CompletionRequest.max_output_tokens",
    "metadata": "request.CompletionRequest.metadata",
    "model": "request.CompletionRequest.model",
    "parallel_tool_calls": "request.CompletionRequest.parallel_tool_calls",
    "reasoning": "request.CompletionRequest.thinking",
    "service_tier": "request.CompletionRequest.service_tier",
    "temperature": "request.CompletionRequest.temperature",
    "text": "request.CompletionRequest.output_format",
    "tool_choice": "request.CompletionRequest.tool_choice",
    "tools": "request.CompletionRequest.tools",
    "top_logprobs": "request.CompletionRequest.top_logprobs",
    "top_p": "request.CompletionRequest.top_p",
    "user": "request.CompletionRequest.user",
    **dict.fromkeys(["background", "background_options", "stream_options"], DELIVERY),
    **dict.fromkeys(["conversation", "previous_response_id", "prompt", "store"], STATE),
    **dict.fromkeys(
        ["prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"],
        "request.CompletionRequest.hints",
    ),
    **dict.fromkeys(
        ["access_programs", "context_management", "image", "include", "max_tool_calls", "moderation", "truncation"],
        "request.CompletionRequest.extra",
    ),
}


def request_of(body: Json) -> CompletionRequest:
    turns: list[Message] = []
    if body.get("instructions"):
        turns.append(Message(role="system", parts=(Text(body["instructions"]),)))
    for item in body["input"]:
        message = _message(item)
        last = turns[-1] if turns else None
        if last is not None and last.role == message.role == "assistant":
            turns[-1] = msgspec.structs.replace(last, parts=last.parts + message.parts)
        else:
            turns.append(message)
    thinking = body.get("reasoning") or {}
    wanted = (body.get("text") or {}).get("format") or {}
    return CompletionRequest(
        model=body["model"],
        messages=tuple(turns),
        tools=tuple(_tool(tool) for tool in body.get("tools") or ()),
        output_format=OutputFormat(
            mode=wanted["type"], name=wanted.get("name"), schema=wanted.get("schema"), strict=wanted.get("strict")
        )
        if wanted
        else None,
        thinking=Thinking(effort=thinking.get("effort")) if thinking else None,
        max_output_tokens=body.get("max_output_tokens"),
    )


def usage_of(told: Json) -> Usage:
    heard, said = told["input_tokens_details"], told["output_tokens_details"]
    return Usage(
        input_tokens=told["input_tokens"],
        output_tokens=told["output_tokens"],
        cached_input_tokens=heard["cached_tokens"],
        cache_write_tokens=heard.get("cache_write_tokens") or 0,
        reasoning_tokens=said["reasoning_tokens"],
    )


def _tool(tool: Json) -> Tool | Opaque:
    if tool["type"] != "function":
        return Opaque(native=Native(dialect=DIALECT, value=tool))
    return Tool(
        name=tool["name"],
        description=tool.get("description") or "",
        parameters=tool.get("parameters"),
        strict=tool.get("strict"),
    )


def _message(item: Json) -> Message:
    match item.get("type", "message"):
        case "message":
            role: Role = "system" if item["role"] == "developer" else item["role"]
            content = item["content"]
            parts = (
                (Text(content),) if isinstance(content, str) else tuple(part for one in content for part in _part(one))
            )
            return Message(role=role, parts=parts)
        case "reasoning":
            return Message(role="assistant", parts=(_thought(item),))
        case "function_call":
            call = ToolCall(id=item["call_id"], name=item["name"], arguments=item["arguments"])
            return Message(role="assistant", parts=(call,))
        case "function_call_output":
            output = item["output"]
            given: Any = (Text(output),) if isinstance(output, str) else tuple(p for one in output for p in _part(one))
            return Message(role="tool", parts=(ToolResult(tool_call_id=item["call_id"], parts=given),))
        case _:
            return Message(role="assistant", parts=(Opaque(native=Native(dialect=DIALECT, value=item)),))


def _thought(item: Json) -> Reasoning:
    """The summary, sealed by the item itself: its id belongs to what is encrypted."""
    text = "".join(one["text"] for one in item["summary"])
    if not item.get("encrypted_content"):
        return Reasoning(text=text)
    seal = msgspec.json.encode([item["id"], item["encrypted_content"]]).decode()
    return Reasoning(text=text, signature=Signature(dialect=DIALECT, value=seal))


def _part(part: Json) -> list[Part]:
    match part["type"]:
        case "input_text":
            return [Text(part["text"])]
        case "output_text":
            return [Text(part["text"], tuple(map(_citation, part.get("annotations") or ())))]
        case "refusal":
            return [Refusal(part["refusal"])]
        case "input_image":
            head, _, data = (part.get("image_url") or "").partition(";base64,")
            url, kind = (None, head.removeprefix("data:")) if data else (head or None, None)
            file_id, detail = part.get("file_id"), part.get("detail")
            return [Image(url=url, data=data or None, media_type=kind, file_id=file_id, detail=detail)]
        case "input_file":
            head, _, data = (part.get("file_data") or "").partition(";base64,")
            url, file_id, name = part.get("file_url"), part.get("file_id"), part.get("filename")
            kind = head.removeprefix("data:") or None
            return [Document(data=data or None, media_type=kind, url=url, file_id=file_id, name=name)]
        case _:
            return [Opaque(native=Native(dialect=DIALECT, value=part))]


def _citation(told: Json) -> Citation:
    if told["type"] != "url_citation":
        return Citation(native=Native(dialect=DIALECT, value=told))
    return Citation(url=told["url"], title=told["title"], start=told["start_index"], end=told["end_index"])
