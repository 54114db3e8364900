"""Canonical requests written as Gemini's `generateContent` (https://ai.google.dev/api/generate-content)."""

from collections.abc import Sequence
from typing import Any

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import (
    CompletionRequest,
    Message,
    Opaque,
    OutputFormat,
    Tool,
    ToolCall,
    ToolChoice,
)
from llm_service.dialects.base import extra_fields
from llm_service.dialects.gemini.generations import is_before_3, thinking_config
from llm_service.dialects.gemini.render_parts import PartsRenderer

Json = dict[str, Any]

SAME_MEANING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_output_tokens": "maxOutputTokens",
    "seed": "seed",
}
SERVICE_TIERS = {"flex": "flex", "priority": "priority"}
USUAL_TIERS = ("auto", "default", "standard", "standard_only")
MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "function": "ANY"}
NOTHING = {"role": "user", "parts": [{"text": ""}]}
"""A conversation needs a user's turn, and one before the model's first call."""


def render_request(request: CompletionRequest, *, losses: Losses) -> Json:
    """What Gemini's protocol cannot express goes to `losses`."""
    body: Json = {"contents": _contents(request, losses)}
    system = [part for message in request.messages if message.role == "system" for part in _spoken(message, losses)]
    if system:  # wherever they stand in the conversation: Gemini knows one place for them
        body["systemInstruction"] = {"parts": system}
    body |= _tools(request, losses)
    if config := _generation_config(request, losses):
        body["generationConfig"] = config
    _render_account(request, body, losses)
    if any(getattr(part, "cache", None) for message in request.messages for part in message.parts):
        losses.ignore("cache_control")  # Gemini caches by itself
    return _merged(body, extra_fields(request, dialect="gemini", losses=losses))


def _spoken(message: Message, losses: Losses) -> list[Json]:
    renderer = PartsRenderer(model="", names={}, losses=losses)
    return renderer.render(message.parts)


def _contents(request: CompletionRequest, losses: Losses) -> list[Json]:
    """Turns of user and model in alternation: what follows in the same role joins the turn before."""
    names = {part.id: part.name for one in request.messages for part in one.parts if isinstance(part, ToolCall)}
    renderer = PartsRenderer(model=request.model, names=names, losses=losses)
    turns: list[Json] = []
    for message in request.messages:
        if message.role == "system":
            continue
        if message.name:
            losses.ignore("messages.name")
        role = "model" if message.role == "assistant" else "user"
        parts = renderer.render(message.parts, of_the_model=role == "model")
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": role, "parts": parts})
    for turn in turns:
        if turn["role"] == "user":
            turn["parts"].sort(key=_is_no_result)
    return turns if turns and turns[0]["role"] == "user" else [NOTHING, *turns]


def _is_no_result(part: Json) -> bool:
    """Sorts the responses of functions to the front: they have to follow their calls."""
    return "functionResponse" not in part


def _tools(request: CompletionRequest, losses: Losses) -> Json:
    functions = [tool for tool in request.tools if isinstance(tool, Tool)]
    tools = _declared(request.tools, losses)
    if any(tool.cache for tool in functions):
        losses.ignore("cache_control")
    rendered: Json = {"tools": tools} if tools else {}
    if functions and (config := _calling(request, functions)):
        rendered["toolConfig"] = {"functionCallingConfig": config}
    return rendered


def _declared(tools: Sequence[Tool | Opaque], losses: Losses) -> list[Json]:
    """In their order; functions that stand together share an object."""
    declared: list[Json] = []
    for tool in tools:
        if isinstance(tool, Tool):
            if not declared or declared[-1].keys() != {"functionDeclarations"}:
                declared.append({"functionDeclarations": []})
            declared[-1]["functionDeclarations"].append(_declaration(tool))
        elif tool.native.dialect == "gemini":
            declared.append(dict(tool.native.value))
        else:
            losses.drop(f"tools.{tool.native.value.get('type') or next(iter(tool.native.value), '')}", target="gemini")
    return declared


def _declaration(tool: Tool) -> Json:
    """`parametersJsonSchema` takes JSON schema as it is, `parameters` only a part of OpenAPI's."""
    declaration: Json = {"name": tool.name}
    if tool.description:
        declaration["description"] = tool.description
    if tool.parameters is not None:
        declaration["parametersJsonSchema"] = tool.parameters
    return declaration


def _calling(request: CompletionRequest, functions: list[Tool]) -> Json:
    """VALIDATED is AUTO held to the schemas, and to some of the functions; ANY is held to them by itself."""
    choice = request.tool_choice or ToolChoice(mode="auto")
    mode = MODES[choice.mode]
    if mode == "AUTO" and (choice.names or any(tool.strict for tool in functions)):
        mode = "VALIDATED"
    config: Json = {"mode": mode} if request.tool_choice or mode != "AUTO" else {}
    if choice.names and mode in ("ANY", "VALIDATED"):
        config["allowedFunctionNames"] = list(choice.names)
    return config


def _generation_config(request: CompletionRequest, losses: Losses) -> Json:
    config: Json = {
        theirs: value for ours, theirs in SAME_MEANING.items() if (value := getattr(request, ours)) is not None
    }
    if request.frequency_penalty:
        config["frequencyPenalty"] = request.frequency_penalty
    if request.presence_penalty:
        config["presencePenalty"] = request.presence_penalty
    if request.stop:
        config["stopSequences"] = list(request.stop)
    if request.logprobs:
        config["responseLogprobs"] = True
        if request.top_logprobs:
            config["logprobs"] = request.top_logprobs
    if request.thinking and (thinking := thinking_config(request.thinking, model=request.model, losses=losses)):
        config["thinkingConfig"] = thinking
    return config | _output_format(request, losses)


def _output_format(request: CompletionRequest, losses: Losses) -> Json:
    output = request.output_format
    if output is None or output.mode == "text":
        return {}
    if request.tools and is_before_3(request.model):
        losses.drop("response_format", target="gemini")
        return {}
    schema = _output_schema(output)
    return {"responseMimeType": "application/json", **({} if schema is None else {"responseJsonSchema": schema})}


def _output_schema(output: OutputFormat) -> Json | None:
    if output.schema is None or output.description is None or "description" in output.schema:
        return output.schema
    return {**output.schema, "description": output.description}


def _render_account(request: CompletionRequest, body: Json, losses: Losses) -> None:
    """What is said of the request for accounts, not for the model."""
    if tier := request.service_tier:
        if tier in SERVICE_TIERS:
            body["serviceTier"] = SERVICE_TIERS[tier]
        elif tier not in USUAL_TIERS:
            losses.ignore("service_tier")
    if request.metadata:
        losses.ignore("metadata")
    if request.user:
        losses.ignore("user")


def _merged(body: Json, extra: Json) -> Json:
    """`extra` laid over `body`, object by object."""
    merged = dict(body)
    for name, value in extra.items():
        mine = merged.get(name)
        merged[name] = _merged(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return merged
