"""Gemini's `generateContent` bodies read as canonical requests; the model, which stands in the URL, is `model` here."""

import re
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

import msgspec

from llm_service.canonical.request import (
    CompletionRequest,
    Message,
    Native,
    Opaque,
    OutputFormat,
    Part,
    Text,
    Thinking,
    Tool,
    ToolChoice,
)
from llm_service.dialects.base import OURS
from llm_service.dialects.gemini.parse_parts import PartsReader
from llm_service.dialects.gemini.schemas import json_schema
from shared.errors import Unprocessable

Json = dict[str, Any]
T = TypeVar("T")


class _Wire(msgspec.Struct, rename="camel", kw_only=True):
    pass


class _Content(_Wire):
    parts: list[Json] = []
    role: Literal["user", "model", "function"] | None = None


class _Request(_Wire):
    model: str
    contents: list[_Content]
    system_instruction: _Content | None = None
    tools: list[Json] | None = None
    tool_config: Json | None = None
    generation_config: Json | None = None
    service_tier: str | None = None


class _Thinking(_Wire):
    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class _Config(_Wire):
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_mime_type: str | None = None
    response_schema: Json | None = None
    response_json_schema: Json | None = None
    thinking_config: _Thinking | None = None
    candidate_count: int | None = None


class _Calling(_Wire):
    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] = "AUTO"
    allowed_function_names: list[str] | None = None


class _Declaration(_Wire):
    name: str
    description: str = ""
    parameters: Json | None = None
    parameters_json_schema: Json | None = None


_NOT_TRANSLATED = {"stream", *OURS}


def parse_request(body: Json) -> CompletionRequest:
    """Raises Unprocessable with the field's name where a value has the wrong type."""
    body = camelled({name: value for name, value in body.items() if name not in _NOT_TRANSLATED})
    asked = converted(body, _Request, "")
    config_body = camelled(asked.generation_config or {})
    config = converted(config_body, _Config, "/generationConfig")
    calling_body = camelled((asked.tool_config or {}).get("functionCallingConfig") or {})
    calling = converted(calling_body, _Calling, "/toolConfig/functionCallingConfig") if calling_body else None
    tools = tuple(_tools(asked.tools or [], strict=calling is not None and calling.mode == "VALIDATED"))
    return CompletionRequest(
        model=asked.model,
        messages=tuple(_messages(asked)),
        tools=tools,
        tool_choice=_choice(calling),
        output_format=_output_format(config),
        max_output_tokens=config.max_output_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=None if config.top_k is None else int(config.top_k),
        frequency_penalty=config.frequency_penalty,
        presence_penalty=config.presence_penalty,
        seed=config.seed,
        stop=tuple(config.stop_sequences or ()),
        logprobs=config.response_logprobs,
        top_logprobs=config.logprobs,
        thinking=_thinking(config.thinking_config),
        service_tier=asked.service_tier,
        extra=_extra(body, config_body, config),
        hints=Native(dialect="gemini", value={"labels": body["labels"]}) if body.get("labels") else None,
    )


def _messages(asked: _Request) -> Iterator[Message]:
    reader = PartsReader()
    if asked.system_instruction:
        texts = [Text(str(part["text"])) for part in asked.system_instruction.parts if "text" in part]
        yield Message(role="system", parts=tuple(texts))
    for number, content in enumerate(asked.contents):
        where = f"/contents/{number}/parts"
        parts: list[Part] = []
        for position, part in enumerate(content.parts):
            parts += reader.read(camelled(part), f"{where}/{position}")
        yield Message(role="assistant" if content.role == "model" else "user", parts=tuple(parts))


def _tools(tools: list[Json], *, strict: bool) -> Iterator[Tool | Opaque]:
    for number, tool in enumerate(tools):
        for kind, value in camelled(tool).items():
            if kind != "functionDeclarations":
                yield Opaque(native=Native(dialect="gemini", value={kind: value}))
                continue
            where = f"/tools/{number}/functionDeclarations"
            for position, body in enumerate(converted(value, list[Json], where)):
                yield _tool(camelled(body), f"{where}/{position}", strict=strict)


def _tool(body: Json, where: str, *, strict: bool) -> Tool | Opaque:
    declared = converted(body, _Declaration, where)
    if body.keys() - {"name", "description", "parameters", "parametersJsonSchema"}:
        return Opaque(native=Native(dialect="gemini", value={"functionDeclarations": [body]}))
    schema = declared.parameters_json_schema
    if schema is None and declared.parameters is not None:
        schema = json_schema(declared.parameters)
    return Tool(name=declared.name, description=declared.description, parameters=schema, strict=strict or None)


def _choice(calling: _Calling | None) -> ToolChoice | None:
    if calling is None or calling.mode == "MODE_UNSPECIFIED":
        return None
    names = tuple(calling.allowed_function_names or ())
    if calling.mode == "NONE":
        return ToolChoice(mode="none")
    if calling.mode == "ANY":
        return ToolChoice(mode="function" if len(names) == 1 else "required", names=names)
    return ToolChoice(mode="auto", names=names)


def _output_format(config: _Config) -> OutputFormat | None:
    schema = config.response_json_schema
    if schema is None and config.response_schema is not None:
        schema = json_schema(config.response_schema)
    if schema is not None:
        return OutputFormat(mode="json_schema", name="answer", schema=schema)
    return OutputFormat(mode="json_object") if config.response_mime_type == "application/json" else None


def _thinking(config: _Thinking | None) -> Thinking | None:
    """A budget of 0 is none, one of -1 as much as the model likes."""
    if config is None:
        return None
    budget = config.thinking_budget
    return Thinking(
        enabled=None if budget is None else budget != 0,
        effort=config.thinking_level.lower() if config.thinking_level else None,
        budget=budget if budget and budget > 0 else None,
        visible=config.include_thoughts,
    )


def _extra(body: Json, config_body: Json, config: _Config) -> Native | None:
    """What has no canonical name, at its place. Neutral values are left out."""
    extra = {name: value for name, value in body.items() if name not in (*_Request.__struct_encode_fields__, "labels")}
    beside = {name: value for name, value in config_body.items() if name not in _Config.__struct_encode_fields__}
    if beside.get("responseModalities") in (["TEXT"], ["text"]):
        del beside["responseModalities"]
    if config.candidate_count not in (None, 1):
        beside["candidateCount"] = config.candidate_count
    if config.response_mime_type not in (None, "text/plain", "application/json"):
        beside["responseMimeType"] = config.response_mime_type
    if beside:
        extra["generationConfig"] = beside
    about_tools = {
        name: value for name, value in camelled(body.get("toolConfig") or {}).items() if name != "functionCallingConfig"
    }
    if about_tools:
        extra["toolConfig"] = about_tools
    return Native(dialect="gemini", value=extra) if extra else None


def camelled(body: Json) -> Json:
    """Its own names as Google writes them: its JSON may also be written with underscores."""
    return {re.sub(r"_([a-z])", lambda one: one[1].upper(), name): value for name, value in body.items()}


def converted(value: Any, kind: type[T], where: str) -> T:
    """Raises Unprocessable, with a pointer to what is of the wrong type."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        steps = [step for step in path.rstrip("`").replace("[", ".").replace("]", "").split(".") if step]
        pointer = "/".join([where, *steps]) or "/"
        errors = [{"pointer": pointer, "in": "body", "detail": what}]
        raise Unprocessable(f"body {pointer}: {what}", errors=errors, param=pointer.split("/")[1]) from None
