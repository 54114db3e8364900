"""What Anthropic's clients get: `/v1/messages` and `/api/llm/messages`, over Anthropic and over others."""

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message

from llm_service.dialects.anthropic import AnthropicDialect
from tests.llm_service.anthropic_wire import (
    accumulated,
    as_stream,
    message,
    refused,
    sse,
    stub_row,
    stubbed,
)
from tests.llm_service.serving import ANSWER, QUESTION, events, row, serving
from tests.simulators.openai import OpenAISimulator
from tests.tokens import bearer

Json = dict[str, Any]
MESSAGES = "/v1/messages"
NATIVE = "/api/llm/messages"
WHOLE = message(
    {"type": "thinking", "thinking": "Hm.", "signature": "sig=="},
    {"type": "text", "text": "Brasília."},
    {"type": "tomorrow", "x": 1},
    stop_reason="end_turn",
    tomorrow={"y": 2},
)


def asking(model: str = "claude-sonnet-5", **fields: Any) -> Json:
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": QUESTION}], **fields}


def sdk(llm: httpx2.AsyncClient) -> anthropic.AsyncAnthropic:
    """Anthropic's own SDK, on the service."""
    return anthropic.AsyncAnthropic(
        auth_token=llm.headers["authorization"].removeprefix("Bearer "),
        base_url=str(llm.base_url),
        http_client=llm,
        max_retries=0,
    )


async def test_anthropics_bytes_are_relayed_both_ways(tmp_path: Path) -> None:
    wire = as_stream(WHOLE) + b": a comment\n\n"
    async with stubbed(WHOLE) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        asked = asking(tomorrow={"x": 1}, metadata={"user_id": "ana"}, fallbacks=[], drop_params=True)
        headers = {"anthropic-beta": "a-2026-01-01,b", "anthropic-version": "2024-01-01"}
        whole = await llm.post(f"{MESSAGES}?beta=true", json=asked, headers=headers)
        stub.answers.append(wire)
        stub.answers.popleft()
        streamed = await llm.post(MESSAGES, json={**asked, "stream": True})
    assert whole.json() == WHOLE
    assert streamed.content == as_stream(WHOLE)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    sent, again = stub.asked
    assert sent == {**asking(), "tomorrow": {"x": 1}, "metadata": {"user_id": "ana"}, "stream": False}
    assert again == {**sent, "stream": True}
    assert stub.headers[0]["anthropic-beta"] == "a-2026-01-01,b"
    assert stub.headers[0]["anthropic-version"] == "2024-01-01"
    assert "anthropic-beta" not in stub.headers[1]
    assert "authorization" not in stub.headers[0]
    for answer in (whole, streamed):
        assert answer.headers["request-id"] == answer.headers["x-request-id"]
        assert answer.headers["x-synapscale-provider"] == "anthropic"


@pytest.mark.parametrize("stream", [True, False])
async def test_the_sdk_is_answered_by_openai(stream: bool, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        client = sdk(llm)
        if stream:
            async with client.messages.stream(**asking("gpt-4o")) as answering:
                text = "".join([piece async for piece in answering.text_stream])
                answer: Message = await answering.get_final_message()
            assert text == ANSWER
        else:
            answer = await client.messages.create(**asking("gpt-4o"))
    (block,) = answer.content
    assert block.type == "text"
    assert block.text == ANSWER
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


async def test_the_sdk_gets_tools_thoughts_and_what_tomorrow_brings_from_anthropic(tmp_path: Path) -> None:
    async with stubbed(WHOLE) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        async with sdk(llm).messages.stream(**asking()) as answering:
            streamed = await answering.get_final_message()
        whole = await sdk(llm).messages.create(**asking(), extra_body={"routing": {"deadline_ms": 9000}})
    assert [block.type for block in streamed.content] == [block.type for block in whole.content]
    assert whole.content[0].type == "thinking"
    assert whole.content[0].signature == "sig=="
    assert "routing" not in stub.asked[1]


async def test_the_extensions_work_with_the_sdks_extra_body(tmp_path: Path) -> None:
    async with (
        stubbed(refused(529, "overloaded_error", "x")) as stub,
        OpenAISimulator() as sim,
        serving(tmp_path, {"anthropic": stub_row(stub), "openai": row(sim)}) as llm,
    ):
        raw = await sdk(llm).messages.with_raw_response.create(
            **asking(), extra_body={"top_k": 3, "fallbacks": ["gpt-4o"], "drop_params": ["top_k"]}
        )
        with pytest.raises(anthropic.APIStatusError) as refusal:
            await sdk(llm).messages.create(**asking(), extra_body={"fallbacks": []})
    assert raw.headers["x-synapscale-fallback"] == "true"
    assert raw.headers["x-synapscale-provider"] == "openai"
    assert refusal.value.status_code == 503
    assert refusal.value.request_id


async def test_anthropics_own_fallbacks_are_left_to_anthropic(tmp_path: Path) -> None:
    theirs = [{"model": "claude-haiku-5-5"}]
    async with stubbed(WHOLE) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        answers = [await llm.post(MESSAGES, json=asking(fallbacks=value)) for value in (theirs, "default", ["x", 1])]
    assert [answer.status_code for answer in answers] == [200, 200, 400]
    assert [asked["fallbacks"] for asked in stub.asked] == [theirs, "default"]


@pytest.mark.parametrize("stream", [True, False])
async def test_our_own_surface_has_our_stream_and_anthropics_answer(stream: bool, tmp_path: Path) -> None:
    async with stubbed(WHOLE) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        answer = await llm.post(NATIVE, json=asking(stream=stream))
        wrong = await llm.post(NATIVE, json=asking(messages=[]))
    if stream:
        told = events(answer.text)
        assert "".join(event["content"] for event in told) == "Brasília."
        assert told[1]["reasoning"] == "Hm."
        assert told[-1]["usage"]["input_tokens"] == 22
    else:
        assert answer.json() == WHOLE
    assert wrong.status_code == 422
    assert wrong.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "invalid_request_error"),
        ({}, 400, "invalid_request_error"),
        (asking("nobody-has-this"), 404, "not_found_error"),
        (asking(messages=[{"role": "wizard", "content": "x"}], model="gpt-4o"), 400, "invalid_request_error"),
        (asking("gpt-4o", mcp_servers=[{"name": "x"}]), 400, "invalid_request_error"),
        (asking("busy"), 429, "rate_limit_error"),
        (asking("overloaded"), 503, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_errors_have_anthropics_shape(body: Any, status: int, kind: str, stream: bool, tmp_path: Path) -> None:
    if isinstance(body, dict):
        body = {**body, "stream": stream}
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    async with (
        stubbed(refused(429, "rate_limit_error", "x", retry_after="9")) as busy,
        stubbed(refused(529, "overloaded_error", "x")) as overloaded,
        OpenAISimulator() as sim,
    ):
        rows = {
            "openai": row(sim),
            "busy": stub_row(busy, models=["busy"]),
            "overloaded": stub_row(overloaded, models=["overloaded"]),
        }
        async with serving(tmp_path, rows) as llm:
            answer = await llm.post(MESSAGES, **sent)
    told = answer.json()
    assert answer.status_code == status
    assert told["type"] == "error"
    assert told["error"]["type"] == kind
    assert told["request_id"] == answer.headers["x-request-id"] == answer.headers["request-id"]
    if status == 429:
        assert answer.headers["retry-after"] == "9"


async def test_scopes_and_allowed_models_are_asked_for_in_anthropics_shape(tmp_path: Path) -> None:
    async with stubbed(WHOLE) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        for path in (MESSAGES, f"{MESSAGES}/count_tokens"):
            nobody = await llm.post(path, json=asking(), headers={"authorization": ""})
            reader = await llm.post(path, json=asking(), headers=bearer(scopes="llm:read"))
            other = await llm.post(path, json=asking(), headers=bearer(policy={"models": ["gpt-4o"]}))
            assert [answer.json()["error"]["type"] for answer in (nobody, reader, other)] == [
                *("authentication_error", "permission_error", "permission_error")
            ]
    assert stub.asked == []


@pytest.mark.parametrize("over", ["anthropic", "openai"])
async def test_a_stream_that_breaks_off_ends_with_an_error_event(over: str, tmp_path: Path) -> None:
    """Relayed and translated: what was said stays, no `message_stop` follows, and the SDK raises."""
    cut = as_stream(WHOLE).partition(b"event: message_delta")[0]
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Bras"}}]}
    openai_cut = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    async with stubbed(cut if over == "anthropic" else openai_cut) as stub:
        stub_at = stub_row(stub)
        if over == "openai":
            stub_at = {**stub_at, "type": "openai"}
        async with serving(tmp_path, {over: stub_at}) as llm:
            answer = await llm.post(MESSAGES, json=asking(stream=True))
            with pytest.raises(anthropic.APIStatusError):
                async with sdk(llm).messages.stream(**asking()) as answering:
                    await answering.get_final_message()
    *_, last, empty = answer.text.split("\n\n")
    assert empty == ""
    told = json.loads(last.partition("data: ")[2])
    assert last.startswith("event: error\n")
    assert told["type"] == "error"
    assert told["request_id"] == answer.headers["x-request-id"]
    assert "message_stop" not in answer.text


async def test_an_error_inside_of_a_relayed_stream_is_told_once(tmp_path: Path) -> None:
    broken = as_stream(WHOLE).partition(b"event: message_delta")[0]
    broken += sse({"type": "error", "error": {"type": "overloaded_error", "message": "Sorry"}})
    async with stubbed(broken) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        answer = await llm.post(MESSAGES, json=asking(stream=True))
    assert answer.text.count("event: error") == 1
    assert '"overloaded_error"' in answer.text


@pytest.mark.parametrize("path", [f"{MESSAGES}/count_tokens", f"{NATIVE}/count_tokens"])
async def test_tokens_are_counted_by_anthropic_or_estimated_and_marked(path: str, tmp_path: Path) -> None:
    body = asking(tools=[{"name": "see", "input_schema": {"type": "object"}}], tool_choice={"type": "auto"})
    del body["max_tokens"]
    async with (
        stubbed(WHOLE, tokens=42) as stub,
        OpenAISimulator() as sim,
        serving(tmp_path, {"anthropic": stub_row(stub), "openai": row(sim)}) as llm,
    ):
        counted = await llm.post(path, json=body, headers={"anthropic-beta": "x,y"})
        guessed = await llm.post(path, json={**body, "model": "gpt-4o"})
        stub.tokens = 0  # it fails
        failed = await llm.post(path, json=body)
        unknown = await llm.post(path, json={**body, "model": "none"})
        by_sdk = await sdk(llm).messages.count_tokens(model="gpt-4o", messages=body["messages"])
    assert counted.json() == {"input_tokens": 42}
    assert counted.headers["x-synapscale-estimated"] == "false"
    assert stub.asked[0] == body
    assert stub.headers[0]["anthropic-beta"] == "x,y"
    for answer in (guessed, failed):
        assert answer.headers["x-synapscale-estimated"] == "true"
    assert 10 < guessed.json()["input_tokens"] < 60
    assert 10 < failed.json()["input_tokens"] - AnthropicDialect.tokens_for_tools < 60
    assert unknown.status_code == 404
    assert 5 < by_sdk.input_tokens < 60


async def test_a_conversation_goes_on_at_openai_after_anthropic_began_it(tmp_path: Path) -> None:
    """Tools, their results with an image, and thoughts that OpenAI never sees."""
    answered = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Secret.", "signature": "sig=="},
            {"type": "tool_use", "id": "toolu_1", "name": "see", "input": {"a": 1}},
        ],
    }
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a cat"}]}
    history = [{"role": "user", "content": "Look."}, answered, {"role": "user", "content": [result]}]
    tools = [{"name": "see", "description": "Looks.", "input_schema": {"type": "object"}, "defer_loading": False}]
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(
            MESSAGES,
            json=asking(
                "gpt-4o", messages=history, tools=tools, system="Be brief.", stop_sequences=["END"], stream=True
            ),
        )
    assert accumulated(answer.content)["content"][0]["text"]
    (sent,) = [request.body for request in sim.requests if request.method == "POST"]
    assert [turn["role"] for turn in sent["messages"]] == ["system", "user", "assistant", "tool"]
    assert sent["messages"][2]["tool_calls"][0]["id"] == "toolu_1"
    assert sent["messages"][3]["tool_call_id"] == "toolu_1"
    assert sent["stop"] == ["END"]
    assert "sig==" not in json.dumps(sent)


def test_the_stub_is_as_its_sdk_expects() -> None:
    assert accumulated(as_stream(message({"type": "text", "text": "x"})))["content"] == [{"type": "text", "text": "x"}]
