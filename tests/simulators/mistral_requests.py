"""Reading `POST /v1/chat/completions` as Mistral does, refusals included."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulators import mistral_errors as errors
from tests.simulators.answers import Limits, Turn, count_tokens
from tests.simulators.mistral_models import Model, find_model
from tests.simulators.provider import FAULTS
from tests.simulators.shapes import (
    ANY,
    BOOLEAN,
    LIST,
    OBJECT,
    REQUIRED_ANY,
    REQUIRED_LIST,
    REQUIRED_OBJECT,
    Field,
    Place,
    Problem,
    integer,
    number,
    problems,
    string,
)

PARAMETERS: Mapping[str, Field] = {
    "model": string(required=True),
    "messages": REQUIRED_LIST,
    "temperature": number(0, 1.5),
    "top_p": number(0, 1),
    "top_k": integer(),
    "max_tokens": integer(0),
    "min_tokens": integer(0),
    "stream": BOOLEAN,
    "stop": ANY,
    "random_seed": integer(0),
    "metadata": OBJECT,
    "response_format": OBJECT,
    "tools": LIST,
    "tool_choice": ANY,
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "repetition_penalty": number(),
    "n": integer(1),
    "prediction": OBJECT,
    "parallel_tool_calls": BOOLEAN,
    "prompt_mode": string("reasoning"),
    "reasoning_effort": string("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "logprobs": BOOLEAN,
    "top_logprobs": integer(0, 20),
    "prompt_logprobs": BOOLEAN,
    "top_prompt_logprobs": integer(0, 20),
    "guardrails": LIST,
    "prompt_cache_key": string(),
    "service_tier": string("auto", "standard_only"),
    "safe_prompt": BOOLEAN,
}
_ROLES: Mapping[str, Mapping[str, Field]] = {
    "system": {"role": string(), "content": REQUIRED_ANY},
    "user": {"role": string(), "content": REQUIRED_ANY},
    "assistant": {"role": string(), "content": ANY, "tool_calls": LIST, "prefix": BOOLEAN},
    "tool": {"role": string(), "content": ANY, "tool_call_id": string(), "name": string()},
}
_CHUNKS: Mapping[str, Mapping[str, Field]] = {
    "text": {"type": string(), "text": string(required=True)},
    "image_url": {"type": string(), "image_url": REQUIRED_ANY},
    "document_url": {"type": string(), "document_url": string(required=True), "document_name": string()},
    "reference": {"type": string(), "reference_ids": REQUIRED_LIST},
    "file": {"type": string(), "file_id": string(required=True)},
    "input_audio": {"type": string(), "input_audio": REQUIRED_ANY},
    "thinking": {"type": string(), "thinking": REQUIRED_LIST, "signature": string(), "closed": BOOLEAN},
}
_CALL = {"id": string(), "type": string(), "function": REQUIRED_OBJECT, "index": integer()}
_FUNCTION = {"name": string(required=True), "arguments": REQUIRED_ANY}
_TOOL = {"type": string("function"), "function": REQUIRED_OBJECT}
_DECLARATION = {
    "name": string(required=True),
    "description": string(),
    "strict": BOOLEAN,
    "parameters": REQUIRED_OBJECT,
}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a valid request asks for."""

    name: str
    """The model's name as it was asked for, by which the answer names it too."""
    model: Model
    turns: tuple[Turn, ...]
    stream: bool
    thinks: bool
    limits: Limits

    @property
    def prompt_tokens(self) -> int:
        return sum(count_tokens(turn.text) for turn in self.turns)


def parse_chat(body: Any) -> ChatRequest:
    """Raises the Refusal with which Mistral would answer `body`."""
    if not isinstance(body, dict):
        raise errors.NOT_JSON
    if found := [*problems(body, PARAMETERS), *_in_messages(body), *_in_tools(body)]:
        raise errors.malformed(found)
    given = {name: value for name, value in body.items() if value is not None}
    model = find_model(given["model"], faults=FAULTS)
    if model is None or model.dimensions:
        raise errors.unknown_model(given["model"])
    if not given["messages"]:
        raise errors.error("Conversation must have at least one message", "invalid_request_error", "3210")
    turns = _read_messages(given["messages"])
    effort = given.get("reasoning_effort", "high" if model.reasons else "none")
    return ChatRequest(
        name=given["model"],
        model=model,
        turns=turns,
        stream=given.get("stream", False),
        thinks=effort != "none" or "prompt_mode" in given,
        limits=_read_limits(given),
    )


def _in_messages(body: Mapping[str, Any]) -> Iterator[Problem]:
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else []):
        place: Place = ("messages", index)
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            tags = ", ".join(f"'{tag}'" for tag in _ROLES)
            words = f"Input tag '{role}' found using 'role' does not match any of the expected tags: {tags}"
            yield Problem("union_tag_invalid", place, words, message)
            continue
        place = (*place, str(role))
        yield from problems(message, _ROLES[str(role)], place)
        yield from _in_content(message.get("content"), (*place, "content"))
        for at, call in enumerate(message.get("tool_calls") or []):
            here = (*place, "tool_calls", at)
            yield from problems(call, _CALL, here)
            if isinstance(call.get("function"), dict):
                yield from problems(call["function"], _FUNCTION, (*here, "function"))


def _in_content(content: Any, place: Place) -> Iterator[Problem]:
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        yield Problem("string_type", (*place, "str"), "Input should be a valid string", content)
        return
    for index, chunk in enumerate(content):
        here = (*place, "list[ContentChunk]", index)
        kind = chunk.get("type", "text") if isinstance(chunk, dict) else None
        if kind not in _CHUNKS:
            tags = ", ".join(f"'{tag}'" for tag in _CHUNKS)
            words = f"Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
            yield Problem("union_tag_invalid", here, words, chunk)
        else:
            yield from problems(chunk, _CHUNKS[str(kind)], (*here, str(kind)))


def _in_tools(body: Mapping[str, Any]) -> Iterator[Problem]:
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else []):
        yield from problems(tool, _TOOL, ("tools", index))
        if isinstance(tool.get("function"), dict):
            yield from problems(tool["function"], _DECLARATION, ("tools", index, "function"))


def _read_messages(messages: list[dict[str, Any]]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    asked: list[str] = []
    before = ""
    for message in messages:
        role = message["role"]
        if before == "tool" and role == "user":
            raise errors.wrong_order("Unexpected role 'user' after role 'tool'")
        if role == "tool":
            if message.get("tool_call_id") not in asked:
                raise errors.wrong_order("Unexpected tool call id in tool results")
            asked.remove(message["tool_call_id"])
        elif asked:
            raise errors.wrong_order("Not the same number of function calls and responses")
        if role == "assistant":
            asked = _calls(message)
        turns.append(Turn(role, _text(message.get("content"))))
        before = role
    if asked:
        raise errors.wrong_order("Not the same number of function calls and responses")
    last = messages[-1]
    if last["role"] not in ("user", "tool") and not last.get("prefix"):
        raise errors.wrong_order(
            f"Expected last role User or Tool (or Assistant with prefix True) for serving but got {last['role']}"
        )
    return tuple(turns)


def _calls(message: Mapping[str, Any]) -> list[str]:
    calls = [call.get("id", "null") for call in message.get("tool_calls") or []]
    for call in calls:
        if not re.fullmatch("[a-zA-Z0-9]{9}", call):
            raise errors.wrong_call_id(call)
    if not calls and not message.get("content") and not message.get("prefix"):
        raise errors.empty_assistant()
    return calls


def _text(content: Any) -> str:
    if not isinstance(content, list):
        return content or ""
    return "\n".join(chunk["text"] for chunk in content if chunk.get("type", "text") == "text")


def _read_limits(given: Mapping[str, Any]) -> Limits:
    names = tuple(tool["function"]["name"] for tool in given.get("tools", ()))
    for name in names:
        if not re.fullmatch("[a-zA-Z0-9_-]{1,256}", name):
            message = f"Function name was {name} but must be a-z, A-Z, 0-9, or contain underscores and dashes"
            raise errors.error(f"{message}, with a maximum length of 256.", "invalid_function_call", "3280")
    choice = given.get("tool_choice", "auto")
    forced = choice["function"]["name"] if isinstance(choice, dict) else None
    if forced is None and choice not in ("auto", "none", "any", "required"):
        words = "Input should be 'auto', 'none', 'any' or 'required'"
        raise errors.malformed([Problem("enum", ("tool_choice", "str-enum"), words, choice)])
    if (forced or choice in ("any", "required")) and not names:
        raise errors.error("Tool choice requires tools", "invalid_request_error", "3001")
    if forced and forced not in names:
        raise errors.error(f"Tool {forced} is not among the tools", "invalid_request_error", "3001")
    stop = given.get("stop", ())
    return Limits(
        tools=() if choice == "none" else names,
        must_call=forced is not None or choice in ("any", "required"),
        forced_tool=forced,
        parallel=given.get("parallel_tool_calls", True),
        max_tokens=given.get("max_tokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )
