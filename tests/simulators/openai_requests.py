"""Reading `POST /v1/chat/completions` as OpenAI does, refusals included."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.simulators import openai_errors as errors
from tests.simulators.answers import Turn, count_tokens
from tests.simulators.openai_models import Model, find_model


@dataclass(frozen=True, slots=True)
class Kind:
    """The JSON type of a parameter, with its limits if it is a number."""

    noun: str
    types: tuple[type, ...]
    least: float | None = None
    most: float | None = None


_STRING = Kind("a string", (str,))
_BOOLEAN = Kind("a boolean", (bool,))
_OBJECT = Kind("an object", (dict,))
_ARRAY = Kind("an array", (list,))
_COUNT = Kind("an integer", (int,), least=1)
_PENALTY = Kind("a decimal", (int, float), least=-2, most=2)

PARAMETERS: Mapping[str, Kind] = {
    "audio": _OBJECT,
    "frequency_penalty": _PENALTY,
    "function_call": Kind("one of a string or object", (str, dict)),
    "functions": _ARRAY,
    "logit_bias": _OBJECT,
    "logprobs": _BOOLEAN,
    "max_completion_tokens": _COUNT,
    "max_tokens": _COUNT,
    "messages": _ARRAY,
    "metadata": _OBJECT,
    "modalities": _ARRAY,
    "model": _STRING,
    "moderation": _OBJECT,
    "n": Kind("an integer", (int,), least=1, most=1),  # OpenAI gives up to 128; the simulator one
    "parallel_tool_calls": _BOOLEAN,
    "prediction": _OBJECT,
    "presence_penalty": _PENALTY,
    "prompt_cache_key": _STRING,
    "prompt_cache_options": _OBJECT,
    "prompt_cache_retention": _STRING,
    "reasoning_effort": _STRING,
    "response_format": _OBJECT,
    "safety_identifier": _STRING,
    "seed": Kind("an integer", (int,)),
    "service_tier": _STRING,
    "stop": Kind("one of a string or array of strings", (str, list)),
    "store": _BOOLEAN,
    "stream": _BOOLEAN,
    "stream_options": _OBJECT,
    "temperature": Kind("a decimal", (int, float), least=0, most=2),
    "tool_choice": Kind("one of a string or object", (str, dict)),
    "tools": _ARRAY,
    "top_logprobs": Kind("an integer", (int,), least=0, most=20),
    "top_p": Kind("a decimal", (int, float), least=0, most=1),
    "user": _STRING,
    "verbosity": _STRING,
    "web_search_options": _OBJECT,
}
_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_PARTS = ("text", "image_url", "input_audio", "refusal", "audio", "file")


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a valid request asks for."""

    model: Model
    turns: tuple[Turn, ...]
    stream: bool
    include_usage: bool
    include_obfuscation: bool
    max_tokens: int | None
    stop: tuple[str, ...]
    tools: tuple[str, ...]
    tool_choice: Literal["auto", "none", "required"]
    forced_tool: str | None
    parallel_tool_calls: bool
    logprobs: int | None
    """How many alternatives to each token are told, None for not even the chosen ones."""

    @property
    def prompt_tokens(self) -> int:
        return sum(count_tokens(turn.text) for turn in self.turns)


def parse_completion(body: Any, *, faults: frozenset[str]) -> CompletionRequest:
    """Raises the Refusal with which OpenAI would answer `body`; `faults` are the models named `fault-…`."""
    if not isinstance(body, dict):
        raise errors.not_json()
    given = {name: value for name, value in body.items() if value is not None}
    if unknown := body.keys() - PARAMETERS.keys():
        raise errors.unrecognized(", ".join(sorted(unknown)))
    for name, value in given.items():
        check(name, value, PARAMETERS[name])
    if not given.get("model"):
        raise errors.Refusal("you must provide a model parameter")
    model = find_model(given["model"], faults=faults)
    if model is None:
        raise errors.unknown_model(given["model"])
    _check_model(model, given)
    turns = _read_messages(given, model)
    tools = _read_tools(given)
    choice, forced = _read_tool_choice(given, tools)
    stop = given.get("stop", ())
    options = given.get("stream_options", {})
    return CompletionRequest(
        model=model,
        turns=turns,
        stream=given.get("stream", False),
        include_usage=bool(options.get("include_usage")),
        include_obfuscation=options.get("include_obfuscation") is not False,
        max_tokens=given.get("max_completion_tokens", given.get("max_tokens")),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        tools=tools,
        tool_choice=choice,
        forced_tool=forced,
        parallel_tool_calls=given.get("parallel_tool_calls", True),
        logprobs=given.get("top_logprobs", 0) if given.get("logprobs") else None,
    )


def check(name: str, value: Any, kind: Kind) -> None:
    if not isinstance(value, kind.types) or (isinstance(value, bool) and bool not in kind.types):
        raise errors.wrong_type(name, expected=kind.noun, got=_noun(value))
    number: Any = value
    noun = kind.noun.split()[-1]
    if kind.most is not None and number > kind.most:
        raise errors.out_of_range(name, number, kind=noun, limit=kind.most, above=True)
    if kind.least is not None and number < kind.least:
        raise errors.out_of_range(name, number, kind=noun, limit=kind.least, above=False)


def _noun(value: Any) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _check_model(model: Model, given: Mapping[str, Any]) -> None:
    if model.reasons and "max_tokens" in given:
        raise errors.unsupported_parameter("max_tokens", "max_completion_tokens")
    if model.reasons and given.get("temperature", 1) != 1:
        raise errors.unsupported_value("temperature", given["temperature"])
    if "web_search_options" in given and not model.searches:
        raise errors.Refusal("Web search options not supported with this model.", param="web_search_options")
    if "top_logprobs" in given and not given.get("logprobs"):
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise errors.Refusal(message, param="top_logprobs")
    if given.get("logprobs") and not model.logprobs:
        raise errors.Refusal("You are not allowed to request logprobs from this model", status=403)
    if "stream_options" in given and not given.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise errors.Refusal(message, param="stream_options")


def _read_messages(given: Mapping[str, Any], model: Model) -> tuple[Turn, ...]:
    if "messages" not in given:
        raise errors.missing("messages")
    if not given["messages"]:
        raise errors.empty_array("messages")
    turns: list[Turn] = []
    asked: list[str] = []
    for index, message in enumerate(given["messages"]):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise errors.wrong_type(where, expected="an object", got=_noun(message))
        role = message.get("role")
        if role is None:
            raise errors.missing(f"{where}.role")
        if role not in _ROLES:
            raise errors.wrong_value(f"{where}.role", role, _ROLES)
        if role in model.refused_roles:
            raise errors.unsupported_value(f"{where}.role", f"'{role}'")
        asked = _pair(asked, message, index)
        turns.append(Turn("system" if role == "developer" else role, _read_content(message, index)))
    if asked:
        raise errors.unanswered_calls(asked)
    return tuple(turns)


def _pair(asked: list[str], message: Mapping[str, Any], index: int) -> list[str]:
    """The calls that still want a result after `message`, of those that did before it."""
    if message["role"] == "tool":
        if message.get("tool_call_id") not in asked:
            raise errors.Refusal(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                "'tool_calls'.",
                param=f"messages.[{index}].role",
            )
        return [one for one in asked if one != message["tool_call_id"]]
    if asked:
        raise errors.unanswered_calls(asked)
    calls = message.get("tool_calls")
    if calls == []:
        raise errors.empty_array(f"messages[{index}].tool_calls")
    for position, call in enumerate(calls or ()):
        where = f"messages[{index}].tool_calls[{position}]"
        for name in ("id", "type", "function"):
            if name not in call:
                raise errors.missing(f"{where}.{name}")
        for name in ("name", "arguments"):
            if name not in call["function"]:
                raise errors.missing(f"{where}.function.{name}")
            check(f"{where}.function.{name}", call["function"][name], _STRING)
    return [call["id"] for call in calls or ()]


def _read_content(message: Mapping[str, Any], index: int) -> str:
    content = message.get("content")
    if content is None:
        if message["role"] == "assistant" and (message.get("tool_calls") or message.get("refusal")):
            return ""
        if "content" not in message and message["role"] != "assistant":
            raise errors.missing(f"messages[{index}].content")
        message_ = "Invalid value for 'content': expected a string, got null."
        raise errors.Refusal(message_, param=f"messages.[{index}].content")
    if isinstance(content, str):
        return content
    where = f"messages[{index}].content"
    check(where, content, Kind("one of a string or array of objects", (list,)))
    for position, part in enumerate(content):
        if part.get("type") not in _PARTS:
            raise errors.wrong_value(f"{where}[{position}].type", part.get("type"), _PARTS)
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _read_tools(given: Mapping[str, Any]) -> tuple[str, ...]:
    if given.get("tools") == []:
        raise errors.empty_array("tools")
    names: list[str] = []
    for index, tool in enumerate(given.get("tools", ())):
        where = f"tools[{index}]"
        if tool.get("type") not in ("function", "custom"):
            raise errors.wrong_value(f"{where}.type", tool.get("type"), ("function", "custom"))
        declared = tool.get(tool["type"])
        if declared is None:
            raise errors.missing(f"{where}.{tool['type']}")
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", declared.get("name", "")):
            raise errors.Refusal(
                f"Invalid '{where}.function.name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
                param=f"{where}.function.name",
                code="invalid_value",
            )
        names.append(declared["name"])
    return tuple(names)


def _read_tool_choice(
    given: Mapping[str, Any], tools: tuple[str, ...]
) -> tuple[Literal["auto", "none", "required"], str | None]:
    """The choice, and the tool that it names if it names one."""
    choice = given.get("tool_choice", "auto")
    if "tool_choice" in given and not tools:
        message = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
        raise errors.Refusal(message, param="tool_choice")
    match choice:
        case "auto" | "none" | "required":
            return choice, None
        case {"type": "function", "function": {"name": str(name)}} if name in tools:
            return "required", name
        case {"type": "function", "function": {"name": str(name)}}:
            message = f"Tool choice '{name}' not found in 'tools' parameter."
            raise errors.Refusal(message, param="tool_choice")
        case _:
            raise errors.wrong_value("tool_choice", choice, ("none", "auto", "required"))
