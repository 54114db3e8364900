"""Reading `POST /v1/messages` as Anthropic does, refusals included."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulators.answers import Limits, Turn, count_tokens
from tests.simulators.anthropic_blocks import read_blocks
from tests.simulators.anthropic_errors import NOT_JSON, Refusal, unknown_model
from tests.simulators.anthropic_models import Model, find_model
from tests.simulators.provider import FAULTS
from tests.simulators.shapes import (
    ANY,
    BOOLEAN,
    LIST,
    OBJECT,
    REQUIRED_LIST,
    REQUIRED_OBJECT,
    Field,
    Place,
    integer,
    number,
    problems,
    string,
)

STABLE: Mapping[str, Field] = {
    "model": string(required=True),
    "messages": REQUIRED_LIST,
    "max_tokens": integer(1, required=True),
    "system": ANY,
    "temperature": number(0, 1),
    "top_p": number(0, 1),
    "top_k": integer(0),
    "stop_sequences": LIST,
    "stream": BOOLEAN,
    "metadata": OBJECT,
    "tools": LIST,
    "tool_choice": OBJECT,
    "thinking": OBJECT,
    "output_config": OBJECT,
    "service_tier": string("auto", "standard_only"),
    "cache_control": OBJECT,
    "container": ANY,
    "inference_geo": string(),
    "speed": string("standard", "fast"),
    "diagnostics": OBJECT,
    "user_profile_id": string(),
    "workspace_id": string(),
}
BETA: Mapping[str, Field] = {
    **STABLE,
    "context_management": OBJECT,
    "mcp_servers": LIST,
    "output_format": OBJECT,
    "fallbacks": LIST,
    "fallback_credit_token": string(),
    "billing_policy": OBJECT,
    "compaction": OBJECT,
    "thread": OBJECT,
}
_UNCOUNTED = {"max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier"}
_TOOL = {
    "type": ANY,
    "name": string(required=True, pattern="[a-zA-Z0-9_-]{1,128}"),
    "description": string(),
    "input_schema": REQUIRED_OBJECT,
    "strict": BOOLEAN,
    "cache_control": OBJECT,
    "eager_input_streaming": BOOLEAN,
    "input_examples": LIST,
    "defer_loading": BOOLEAN,
    "allowed_callers": LIST,
}
_CHOICE = {
    "type": string("auto", "any", "tool", "none", required=True),
    "name": string(),
    "disable_parallel_tool_use": BOOLEAN,
}


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """What a valid request asks for."""

    model: Model
    turns: tuple[Turn, ...]
    stream: bool
    thinks: bool
    limits: Limits

    @property
    def prompt_tokens(self) -> int:
        return sum(count_tokens(turn.text) for turn in self.turns)


def parse_message(
    body: Any, *, beta: bool = False, counting: bool = False, signatures: Collection[str] | None = None
) -> MessageRequest:
    """Raises the Refusal with which Anthropic would answer `body`.

    `beta` takes the fields of beta features, `counting` is for `count_tokens`; a thought may carry only one of
    `signatures`, or any if there are none.
    """
    if not isinstance(body, dict):
        raise NOT_JSON
    fields = BETA if beta else STABLE
    if counting:
        fields = {name: field for name, field in fields.items() if name not in _UNCOUNTED}
    check(body, fields)
    given = {name: value for name, value in body.items() if value is not None}
    model = find_model(given["model"], faults=FAULTS)
    if model is None:
        raise unknown_model(given["model"])
    thinks = _check_thinking(given, model)
    _check_sampling(given, model, thinks=thinks)
    system = read_blocks(given.get("system", ""), ("system",), role="system")
    turns: tuple[Turn, ...] = (Turn("system", system[0].text),) if system else ()
    turns += _read_messages(given["messages"], model, signatures)
    limits = _read_limits(given)
    return MessageRequest(model, turns, given.get("stream", False), thinks, limits)


def check(given: Mapping[str, Any], fields: Mapping[str, Field], place: Place = ()) -> None:
    """Raises the first problem in Anthropic's manner: `messages.0.role: Field required`."""
    for problem in problems(given, fields, place):
        raise Refusal(f"{'.'.join(map(str, problem.place))}: {problem.message}")


def _check_thinking(given: Mapping[str, Any], model: Model) -> bool:
    thinking = given.get("thinking", {"type": "disabled"})
    match thinking.get("type"):
        case "disabled":
            return False
        case "adaptive":
            return True
        case "enabled" if model.adaptive_only:
            raise Refusal(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        case "enabled":
            fields = {"type": string(), "budget_tokens": integer(1024, required=True), "display": string()}
            check(thinking, fields, ("thinking", "enabled"))
            if "max_tokens" in given and thinking["budget_tokens"] >= given["max_tokens"]:
                raise Refusal("`max_tokens` must be greater than `thinking.budget_tokens`.")
            return True
        case other:
            raise Refusal(
                f"thinking: Input tag '{other}' found using 'type' does not match any of the expected tags: "
                "'adaptive', 'disabled', 'enabled'"
            )


def _check_sampling(given: Mapping[str, Any], model: Model, *, thinks: bool) -> None:
    for name in ("temperature", "top_p", "top_k"):
        if name in given and model.adaptive_only:
            raise Refusal(f"`{name}` is deprecated for this model.")
    if {"temperature", "top_p"} <= given.keys() and not model.name.startswith("claude-3"):
        raise Refusal("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if thinks and given.get("temperature", 1) != 1:
        raise Refusal("`temperature` may only be set to 1 when thinking is enabled.")
    if thinks and "top_k" in given:
        raise Refusal("`top_k` must be unset when thinking is enabled.")
    if given.get("max_tokens", 0) > model.max_output:
        raise Refusal(
            f"max_tokens: {given['max_tokens']} > {model.max_output}, which is the maximum allowed number of output "
            f"tokens for {model.snapshot}"
        )
    for index, sequence in enumerate(given.get("stop_sequences", ())):
        if not isinstance(sequence, str) or not sequence.strip():
            raise Refusal(f"stop_sequences.{index}: each stop sequence must contain non-whitespace")


def _read_messages(messages: list[Any], model: Model, signatures: Collection[str] | None) -> tuple[Turn, ...]:
    if not messages:
        raise Refusal("messages: at least one message is required")
    turns: list[Turn] = []
    asked: list[str] = []
    for index, message in enumerate(messages):
        place: Place = ("messages", index)
        if not isinstance(message, dict):
            raise Refusal(f"messages.{index}: Input should be a valid dictionary")
        if message.get("role") == "system":
            raise Refusal(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        check(message, {"role": string("user", "assistant", required=True), "content": ANY}, place)
        if message.get("content") is None:
            raise Refusal(f"messages.{index}.content: Field required")
        role = message["role"]
        said = read_blocks(message["content"], (*place, "content"), role=role, signatures=signatures)
        _check_results(asked, [turn.call for turn in said if turn.role == "tool"], index)
        if not said and (role == "user" or index < len(messages) - 1):
            raise Refusal(f"messages.{index}: {role} messages must have non-empty content")
        asked = [call for turn in said for call in turn.calls]
        turns += [Turn(turn.role, turn.text) for turn in said]
    _check_last(messages[-1], model, asked, len(messages) - 1)
    return tuple(turns)


def _check_results(asked: list[str], answered: list[str], index: int) -> None:
    for at, call in enumerate(answered):
        if call not in asked:
            raise Refusal(
                f"messages.{index}.content.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {call}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if call in answered[:at]:
            raise Refusal(
                f"messages.{index}.content.{at}: each tool_use must have a single result. Found multiple `tool_result` "
                f"blocks with id: {call}"
            )
    if missing := [call for call in asked if call not in answered]:
        raise _unanswered(missing, index - 1)


def _check_last(message: Mapping[str, Any], model: Model, asked: list[str], index: int) -> None:
    if asked:
        raise _unanswered(asked, index)
    if message["role"] == "user":
        return
    if not model.prefills:
        raise Refusal(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    content = message["content"]
    text = content if isinstance(content, str) else content[-1].get("text", "") if content else ""
    if text != text.rstrip():
        raise Refusal("messages: final assistant content cannot end with trailing whitespace")


def _unanswered(calls: list[str], index: int) -> Refusal:
    return Refusal(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(calls)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )


def _read_limits(given: Mapping[str, Any]) -> Limits:
    names: list[str] = []
    for index, tool in enumerate(given.get("tools", ())):
        if not isinstance(tool, dict):
            raise Refusal(f"tools.{index}: Input should be a valid dictionary")
        if tool.get("type", "custom") != "custom":
            continue  # a tool that Anthropic runs itself
        check(tool, _TOOL, ("tools", index, "custom"))
        if tool["input_schema"].get("type") != "object":
            raise Refusal(f"tools.{index}.custom.input_schema.type: Field required")
        if tool["name"] in names:
            raise Refusal("tools: Tool names must be unique.")
        names.append(tool["name"])
    choice = given.get("tool_choice", {"type": "auto"})
    check(choice, _CHOICE, ("tool_choice",))
    kind = choice["type"]
    if "tool_choice" in given and not given.get("tools") and kind != "none":
        raise Refusal("tool_choice: tool_choice may only be specified while providing tools.")
    if kind in ("any", "tool") and given.get("thinking", {}).get("type") == "enabled":
        raise Refusal("Thinking may not be enabled when tool_choice forces tool use.")
    forced = choice.get("name") if kind == "tool" else None
    if kind == "tool" and forced is None:
        raise Refusal("tool_choice.tool.name: Field required")
    if forced is not None and forced not in [tool.get("name") for tool in given["tools"]]:
        raise Refusal(f"Tool '{forced}' not found in provided tools")
    return Limits(
        tools=() if kind == "none" else tuple(names),
        must_call=kind in ("any", "tool"),
        forced_tool=forced,
        parallel=not choice.get("disable_parallel_tool_use"),
        max_tokens=given.get("max_tokens"),
        stop=tuple(given.get("stop_sequences", ())),
    )
