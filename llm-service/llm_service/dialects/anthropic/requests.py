"""Anthropic's requests, read (https://platform.claude.com/docs/en/api/messages)."""

from typing import Any

from llm_service.canonical.request import (
    CompletionRequest,
    Message,
    Native,
    Opaque,
    OutputFormat,
    Part,
    Role,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
)
from llm_service.dialects.anthropic.blocks import parse_cache, parse_content
from llm_service.dialects.anthropic.seals import NAME
from llm_service.dialects.base import OURS
from llm_service.dialects.reading import numbered, optional, refusal, typed

Json = dict[str, Any]

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
TIERS = {"standard_only": "default"}
"""Anthropic's word for what all others call `default`."""
TRANSLATED = frozenset(
    {
        *("model", "messages", "system", "max_tokens", "stop_sequences", "temperature", "top_p", "top_k", "metadata"),
        *("service_tier", "thinking", "tool_choice", "tools", "output_config", "output_format", "stream"),
    }
) | frozenset(OURS).difference({"fallbacks"})
OF_TOOLS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
HINTS = frozenset({"cache_control", "diagnostics", "inference_geo", "speed", "betas"})
"""Fields that change no answer, only where, how fast and how cheaply it is made."""


def parse_request(body: Json) -> CompletionRequest:
    """Raises Unprocessable with the field's place where a value has the wrong type."""
    output = optional(body, "output_config", dict, "") or {}
    metadata = optional(body, "metadata", dict, "") or {}
    choice = optional(body, "tool_choice", dict, "")
    parallel = None if choice is None else optional(choice, "disable_parallel_tool_use", bool, "/tool_choice")
    tier = optional(body, "service_tier", str, "")
    hints, extra = _untranslated(body, output)
    return CompletionRequest(
        model=typed(body.get("model"), str, "/model"),
        messages=(*_parse_system(body.get("system")), *numbered(body.get("messages"), "/messages", _parse_message)),
        tools=tuple(numbered([] if body.get("tools") is None else body["tools"], "/tools", _parse_tool)),
        tool_choice=_parse_tool_choice(choice),
        parallel_tool_calls=None if parallel is None else not parallel,
        output_format=_parse_output_format(output.get("format") or body.get("output_format")),
        max_output_tokens=optional(body, "max_tokens", int, ""),
        temperature=optional(body, "temperature", (int, float), ""),
        top_p=optional(body, "top_p", (int, float), ""),
        top_k=optional(body, "top_k", int, ""),
        stop=tuple(numbered(body.get("stop_sequences") or [], "/stop_sequences", lambda v, w: str(typed(v, str, w)))),
        thinking=_parse_thinking(body.get("thinking"), optional(output, "effort", str, "/output_config")),
        service_tier=TIERS.get(tier, tier),
        user=optional(metadata, "user_id", str, "/metadata"),
        metadata={name: value for name, value in metadata.items() if name != "user_id"} or None,
        hints=Native(dialect=NAME, value=hints) if hints else None,
        extra=Native(dialect=NAME, value=extra) if extra else None,
    )


def _untranslated(body: Json, output: Json) -> tuple[Json, Json]:
    """Hints, and what changes the answer and has no canonical name. What is empty asks for nothing."""
    known = TRANSLATED if has_own_fallbacks(body) else TRANSLATED | {"fallbacks"}
    rest = {name: value for name, value in body.items() if name not in known}
    if more := {name: output[name] for name in output if name not in ("effort", "format")}:
        rest["output_config"] = more
    if (optional(body, "thinking", dict, "") or {}).get("type") not in (None, "enabled", "disabled", "adaptive"):
        rest["thinking"] = body["thinking"]
    rest = {name: value for name, value in rest.items() if value not in (None, [], {})}
    hints = {name: value for name, value in rest.items() if name in HINTS or _forgets_thoughts(name, value)}
    return hints, {name: value for name, value in rest.items() if name not in hints}


def has_own_fallbacks(body: Json) -> bool:
    """Anthropic has `fallbacks` of its own: objects, or the word `default`, where ours are names."""
    match body.get("fallbacks"):
        case "default":
            return True
        case [*models]:
            return bool(models) and all(isinstance(model, dict) for model in models)
        case _:
            return False


def further_models(body: Json) -> list[str]:
    """Of its own `fallbacks`, and of tools that ask another model (the advisor)."""
    fallbacks = body.get("fallbacks")
    named = [fallbacks] if fallbacks == "default" else fallbacks if has_own_fallbacks(body) else []
    tools = body.get("tools")
    given = [*(named or ()), *(tools if isinstance(tools, list) else ())]
    models = [one.get("model") if isinstance(one, dict) else one for one in given]
    return [model for model in models if isinstance(model, str)]


def _forgets_thoughts(name: str, value: Any) -> bool:
    """Context management that only clears thoughts: those of one provider reach no other anyhow."""
    if name != "context_management" or not isinstance(value, dict) or value.keys() != {"edits"}:
        return False
    edits = value["edits"] if isinstance(value["edits"], list) else [None]
    return all(isinstance(edit, dict) and str(edit.get("type")).startswith("clear_thinking") for edit in edits)


def _parse_system(system: Any) -> tuple[Message, ...]:
    parts = parse_content(system, "/system") if system is not None else ()
    return (Message(role="system", parts=parts),) if parts else ()


def _parse_message(message: Any, where: str) -> Message:
    message = typed(message, dict, where)
    role = ROLES.get(typed(message.get("role"), str, f"{where}/role"))
    if role is None:
        raise refusal(f"{where}/role", f"is not one of {', '.join(ROLES)}")
    parts: tuple[Part, ...] = parse_content(message.get("content"), f"{where}/content")
    if parts and all(isinstance(part, ToolResult) for part in parts):
        role = "tool"
    return Message(role=role, parts=parts)


def _parse_tool(tool: Any, where: str) -> Tool | Opaque:
    tool = typed(tool, dict, where)
    if (optional(tool, "type", str, where) or "custom") != "custom":
        return Opaque(native=Native(dialect=NAME, value=tool))
    hints = {name: value for name, value in tool.items() if name not in OF_TOOLS}
    return Tool(
        name=typed(tool.get("name"), str, f"{where}/name"),
        description=optional(tool, "description", str, where) or "",
        parameters=typed(tool.get("input_schema"), dict, f"{where}/input_schema"),
        strict=optional(tool, "strict", bool, where),
        cache=parse_cache(tool.get("cache_control"), f"{where}/cache_control"),
        hints=Native(dialect=NAME, value=hints) if hints else None,
    )


def _parse_tool_choice(choice: Json | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case {"type": "auto" | "none" as mode}:
            return ToolChoice(mode=mode)
        case {"type": "any"}:
            return ToolChoice(mode="required")
        case {"type": "tool", "name": str(name)}:
            return ToolChoice(mode="function", names=(name,))
        case _:
            raise refusal("/tool_choice", "is not auto, any, none or a tool")


def _parse_output_format(wanted: Any) -> OutputFormat | None:
    match wanted:
        case None:
            return None
        case {"type": "json_schema", "schema": dict(schema)}:
            return OutputFormat(mode="json_schema", schema=schema, strict=True)
        case _:
            raise refusal("/output_config/format", "is not a json_schema with its schema")


def _parse_thinking(thinking: Any, effort: str | None) -> Thinking | None:
    """`adaptive` is what the canonical request calls not `enabled` but left to the model."""
    if thinking is None:
        return Thinking(effort=effort) if effort else None
    thinking = typed(thinking, dict, "/thinking")
    display = optional(thinking, "display", str, "/thinking")
    visible = None if display is None else display != "omitted"
    match typed(thinking.get("type"), str, "/thinking/type"):
        case "enabled":
            budget = typed(thinking.get("budget_tokens"), int, "/thinking/budget_tokens")
            return Thinking(enabled=True, budget=budget, effort=effort, visible=visible)
        case "disabled":
            return Thinking(enabled=False, effort=effort)
        case "adaptive":
            return Thinking(effort=effort, visible=visible)
        case _:  # a kind of tomorrow, which crosses as it is
            return Thinking(effort=effort) if effort else None
