"""Canonical requests, written as Anthropic's."""

from collections.abc import Sequence
from typing import Any

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest, Message, Opaque, OutputFormat, Thinking, Tool, ToolChoice
from llm_service.dialects.anthropic.blocks import alone_or_list, cache_control, render_content
from llm_service.dialects.anthropic.requests import TIERS
from llm_service.dialects.anthropic.seals import NAME
from llm_service.dialects.base import extra_fields

Json = dict[str, Any]

DEFAULT_MAX_TOKENS = 8192
"""For a client that sets no limit, where Anthropic demands one and the model's own is not known; all models since
Claude 3.5 can say that much."""
HIGHEST_TEMPERATURE = 1
EFFORTS = {"minimal": "low"}
"""Others' words for efforts that Anthropic has not."""
NO_EFFORT = "none"
NO_PARAMETERS: Json = {"type": "object", "properties": {}}
CHOICES = {"auto": "auto", "required": "any", "none": "none"}
FOREIGN = ("frequency_penalty", "presence_penalty", "seed", "logprobs", "top_logprobs")
"""What Anthropic's models cannot be asked for."""


def render_request(request: CompletionRequest, *, losses: Losses) -> Json:
    """What Anthropic's protocol cannot express goes to `losses`."""
    system, turns = _render_messages(request.messages, losses)
    body: Json = {"model": request.model, "max_tokens": request.max_output_tokens or DEFAULT_MAX_TOKENS}
    if system:
        body["system"] = alone_or_list(system)
    body["messages"] = [{"role": role, "content": alone_or_list(blocks)} for role, blocks in turns]
    body |= _tools(request, losses)
    body |= _sampling(request, losses)
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    if request.metadata:
        losses.ignore("metadata")
    body |= _tier(request.service_tier, losses)
    body |= _thinking(request.thinking)
    config = {**_format(request.output_format, losses), **_effort(request.thinking)}
    extra = extra_fields(request, dialect=NAME, losses=losses)
    if config or "output_config" in extra:
        extra = {**extra, "output_config": {**config, **extra.get("output_config", {})}}
    return body | extra


def _render_messages(messages: Sequence[Message], losses: Losses) -> tuple[list[Json], list[tuple[str, list[Json]]]]:
    """The system prompt, and turns that alternate.

    A system message later on stays in its place where Anthropic takes one: after the user's turn and before the
    assistant's (https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages).
    """
    system: list[Json] = []
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        if message.name:
            losses.ignore("messages.name")
        role: str = "user" if message.role == "tool" else message.role
        blocks = render_content(message.parts, losses)
        if role == "system" and not turns:
            system += blocks
        elif blocks:
            _add(turns, role, blocks)
    if not turns and system:  # nobody asks anything: what the system says is the question
        return [], [("user", system)]
    roles = ["", *(role for role, _ in turns), "assistant"]
    placed: list[tuple[str, list[Json]]] = []
    for number, (role, blocks) in enumerate(turns, start=1):
        if role == "system" and (roles[number - 1], roles[number + 1]) != ("user", "assistant"):
            system += blocks
        else:
            _add(placed, role, blocks)
    return system, [(role, _results_first(blocks)) for role, blocks in placed]


def _add(turns: list[tuple[str, list[Json]]], role: str, blocks: list[Json]) -> None:
    if turns and turns[-1][0] == role:
        turns[-1][1].extend(blocks)
    else:
        turns.append((role, list(blocks)))


def _results_first(blocks: list[Json]) -> list[Json]:
    """In the turn after a tool call, results come before anything else."""
    return sorted(blocks, key=lambda block: block.get("type") != "tool_result")


def _tools(request: CompletionRequest, losses: Losses) -> Json:
    choice = request.tool_choice
    among = choice.names if choice and choice.mode != "function" else ()
    tools = [
        rendered
        for tool in request.tools
        if not (among and isinstance(tool, Tool) and tool.name not in among)
        for rendered in _render_tool(tool, losses)
    ]
    if not tools:
        return {}
    rendered = _tool_choice(choice, request.parallel_tool_calls)
    return {"tools": tools, **({"tool_choice": rendered} if rendered else {})}


def _render_tool(tool: Tool | Opaque, losses: Losses) -> list[Json]:
    if isinstance(tool, Opaque):
        if tool.native.dialect == NAME:
            return [tool.native.value]
        losses.drop("tools", target=NAME)
        return []
    body: Json = {"name": tool.name, "input_schema": tool.parameters or NO_PARAMETERS}
    if tool.description:
        body["description"] = tool.description
    if tool.strict is not None:
        body["strict"] = tool.strict
    hints = tool.hints.value if tool.hints and tool.hints.dialect == NAME else {}
    return [{**body, **cache_control(tool.cache), **hints}]


def _tool_choice(choice: ToolChoice | None, parallel: bool | None) -> Json | None:
    """Whether calls may be parallel is said with the choice; that they may is nothing to say without one."""
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if parallel is False else None
    if choice.mode == "function":
        said: Json = {"type": "tool", "name": choice.names[0] if choice.names else ""}
    else:
        said = {"type": CHOICES[choice.mode]}
    return said if parallel is None or choice.mode == "none" else {**said, "disable_parallel_tool_use": not parallel}


def _sampling(request: CompletionRequest, losses: Losses) -> Json:
    for field in FOREIGN:
        if getattr(request, field):  # 0 and false ask for nothing
            losses.drop(field, target=NAME)
    body: Json = {}
    if request.temperature is not None and request.temperature > HIGHEST_TEMPERATURE:
        losses.drop("temperature", target=NAME)
    elif request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None and request.top_p < 1:  # 1 is everything; newer models take only one of the two
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = request.top_k
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    return body


def _tier(tier: str | None, losses: Losses) -> Json:
    ours = {word: theirs for theirs, word in TIERS.items()}
    if tier in ours:
        return {"service_tier": ours[tier]}
    if tier not in (None, "auto"):
        losses.ignore("service_tier")
    return {"service_tier": "auto"} if tier == "auto" else {}


def _thinking(thinking: Thinking | None) -> Json:
    """Left to the model (`adaptive`) unless a budget is given; the provider knows which models cannot have it so."""
    if thinking is None:
        return {}
    if thinking.enabled is False or thinking.effort == NO_EFFORT:
        return {"thinking": {"type": "disabled"}}
    how: Json = {"type": "adaptive"}
    if thinking.budget is not None:
        how = {"type": "enabled", "budget_tokens": thinking.budget}
    if thinking.visible is not None:
        how["display"] = "summarized" if thinking.visible else "omitted"
    return {"thinking": how}


def _effort(thinking: Thinking | None) -> Json:
    if thinking is None or thinking.effort in (None, NO_EFFORT):
        return {}
    return {"effort": EFFORTS.get(str(thinking.effort), thinking.effort)}


def _format(wanted: OutputFormat | None, losses: Losses) -> Json:
    """Anthropic has JSON by a schema, and no JSON without one."""
    if wanted is None or wanted.mode == "text":
        return {}
    if wanted.schema is None:
        losses.drop("response_format", target=NAME)
        return {}
    return {"format": {"type": "json_schema", "schema": wanted.schema}}
