"""Recorded traffic in Anthropic's words, and Anthropic's in those of others."""

import json
from typing import Any

import msgspec
import pytest

from llm_service.canonical.events import (
    Event,
)
from llm_service.canonical.losses import Losses
from llm_service.dialects import ANTHROPIC, OPENAI
from llm_service.errors import Kind, ProviderError
from shared.errors import DomainError
from shared.http.frames import Frame
from tests.llm_service.anthropic_wire import (
    accumulated,
    checked,
    collected,
    events_of,
    rendered,
    without_nulls,
)
from tests.llm_service.recordings import Recording, recordings

Json = dict[str, Any]


def exchanged(recording: Recording) -> list[Event]:
    if isinstance(recording.body, str):
        return events_of(ANTHROPIC, recording.body.encode())
    return list(ANTHROPIC.parse_answer(msgspec.json.encode(recording.body)))


@pytest.mark.parametrize("recording", recordings("anthropic"), ids=str)
def test_a_recorded_answer_is_understood_and_said_again(recording: Recording) -> None:
    body = recording.body
    if recording.status != 200:
        error = ANTHROPIC.parse_error(recording.status, msgspec.json.encode(body))
        assert (error.kind, error.message) == (Kind.BAD_REQUEST, body["error"]["message"])
        return
    if "/v1/messages" not in recording.uri or "count_tokens" in recording.uri:
        return
    events = exchanged(recording)
    answer = collected(events)
    whole = ANTHROPIC.render_answer(answer)
    streamed = accumulated(rendered(ANTHROPIC, events), strict=False)
    original = accumulated(body.encode(), strict=False) if isinstance(body, str) else without_nulls(body)
    content = [sdk_knows(block) for block in original["content"] if block != NOTHING]
    assert without_nulls(whole["content"]) == streamed["content"]
    assert [sdk_knows(block) for block in streamed["content"]] == content
    for name in ("id", "model", "stop_reason"):
        assert whole[name] == streamed[name] == original[name]
    assert answer.usage is not None
    if "iterations" not in str(body):
        assert whole["usage"]["input_tokens"] == streamed["usage"]["input_tokens"] == original["usage"]["input_tokens"]
        assert whole["usage"]["output_tokens"] == original["usage"]["output_tokens"]


NOTHING = {"type": "text", "text": ""}


def sdk_knows(block: Json) -> Json:
    """Who calls a tool is no part of an answer that crosses; the SDK puts the input of no MCP call together."""
    left_out = ("caller", "input") if block["type"] == "mcp_tool_use" else ("caller",)
    return {name: value for name, value in block.items() if name not in left_out}


@pytest.mark.parametrize("recording", recordings("anthropic"), ids=str)
def test_a_recorded_answer_reaches_an_openai_client(recording: Recording) -> None:
    if recording.status != 200 or "/v1/messages" not in recording.uri or "count_tokens" in recording.uri:
        return
    events = exchanged(recording)
    answer = collected(events)
    again = collected(events_of(OPENAI, rendered(OPENAI, events)))
    message = OPENAI.render_answer(answer)["choices"][0]["message"]
    assert again.text == answer.text == (message["content"] or "")
    assert again.tool_calls == answer.tool_calls
    assert again.reasoning == answer.reasoning


@pytest.mark.parametrize("recording", recordings("openai", "groq", "huggingface"), ids=str)
def test_openais_recordings_reach_an_anthropic_client(recording: Recording) -> None:
    if recording.status != 200 or not recording.uri.endswith("/chat/completions"):
        return
    if recording.is_stream:
        events = [event for data in recording.sse_data for event in _read_openai(data)]
    else:
        try:
            events = list(OPENAI.parse_answer(msgspec.json.encode(recording.body)))
        except ProviderError:
            return
    answer = collected(events)
    streamed = accumulated(rendered(ANTHROPIC, events))
    whole = checked(ANTHROPIC.render_answer(answer))
    assert [{**b, "signature": ""} for b in streamed["content"]] == [{**b, "signature": ""} for b in whole["content"]]
    assert [block["input"] for block in whole["content"] if block["type"] == "tool_use"] == [
        json.loads(call.arguments) for call in answer.tool_calls
    ]


def _read_openai(data: str) -> list[Event]:
    parser = OPENAI.stream_parser()
    return list(parser.read(Frame(b"", "", data.encode())))


@pytest.mark.parametrize("recording", recordings("openai"), ids=str)
def test_openais_recorded_requests_are_asked_of_anthropic(recording: Recording) -> None:
    if not recording.uri.endswith("/chat/completions"):
        return
    try:
        request = OPENAI.parse_request(recording.request)
    except DomainError:
        return
    body = ANTHROPIC.render_request(request, stream=False, losses=Losses(allowed=True))
    back = ANTHROPIC.parse_request(body)
    assert request.last_user_text in back.last_user_text  # what others said before it, in the same turn now
    assert [turn["role"] for turn in body["messages"] if turn["role"] == "system"] == []
