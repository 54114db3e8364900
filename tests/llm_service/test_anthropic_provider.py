"""Anthropic as a provider: its wire below, OpenAI's or its own above."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from llm_service.canonical.request import CompletionRequest, Message, Text
from llm_service.errors import Kind, ProviderError
from llm_service.providers.anthropic import AnthropicProvider
from llm_service.providers.keys import ApiKey, Keys
from tests.llm_service.anthropic_wire import KEY, AnthropicStub, as_stream, message, refused, sse, stub_row, stubbed
from tests.llm_service.serving import SURFACES, asking, events, openai_chunks, row, said, serving
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.faults import Fault
from tests.simulators.http import nothing_listens
from tests.simulators.openai import OpenAISimulator

Json = dict[str, Any]
HELLO = message({"type": "text", "text": "Brasília."})
CALLS = message(
    {"type": "thinking", "thinking": "Two of them.", "signature": "sig=="},
    {"type": "tool_use", "id": "toolu_1", "name": "see", "input": {"a": 1}},
    {"type": "tool_use", "id": "toolu_2", "name": "see", "input": {}},
    stop_reason="tool_use",
)


def model(name: str, **more: Any) -> Json:
    card = {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
    return {**card, "lifecycle": "active", **more}


def provider(stub: AnthropicStub, *keys: str) -> AnthropicProvider:
    named = [ApiKey(f"k{number}", secret) for number, secret in enumerate(keys or (KEY,))]
    return AnthropicProvider("anthropic", base_url=stub.base_url, keys=Keys(named), models=())


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_openai_client_is_answered_by_anthropic(surface: str, stream: bool, tmp_path: Path) -> None:
    async with stubbed(HELLO) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        answer = await llm.post(surface, json=asking(model="claude-sonnet-5", stream=stream, temperature=0.5))
    assert answer.status_code == 200
    if stream:
        assert said(answer.text, surface=surface) == "Brasília."
    else:
        body = answer.json()
        assert body["choices"][0]["message"]["content"] == "Brasília."
        assert body["usage"]["prompt_tokens"] == 22
        assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 5
    assert answer.headers["x-synapscale-provider"] == "anthropic"
    (asked,) = stub.asked
    assert asked["max_tokens"] == 128_000  # as our own list has it, for Anthropic's is empty
    assert asked["temperature"] == 0.5
    assert asked["stream"] is True
    assert stub.paths == ["/v1/messages"]
    assert stub.headers[0]["x-api-key"] == KEY
    assert stub.headers[0]["anthropic-version"] == "2023-06-01"


async def test_parallel_calls_and_thoughts_come_back_through_an_openai_client(tmp_path: Path) -> None:
    async with stubbed(CALLS, HELLO) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        tools = [{"type": "function", "function": {"name": "see", "parameters": {"type": "object"}}}]
        first = await llm.post(SURFACES[0], json=asking(model="claude-sonnet-5", stream=True, tools=tools))
        calls: dict[int, Json] = {}
        for chunk in openai_chunks(first.text):
            for choice in chunk["choices"]:
                for call in choice["delta"].get("tool_calls") or []:
                    kept = calls.setdefault(call["index"], {"id": call.get("id"), "arguments": ""})
                    kept["arguments"] += call["function"]["arguments"]
        assert [(call["id"], json.loads(call["arguments"])) for call in calls.values()] == [
            ("toolu_1", {"a": 1}),
            ("toolu_2", {}),
        ]
        history = [
            {"role": "user", "content": "Look."},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": call["id"], "type": "function", "function": {"name": "see", "arguments": call["arguments"]}}
                    for call in calls.values()
                ],
            },
            *({"role": "tool", "tool_call_id": call["id"], "content": "a cat"} for call in calls.values()),
        ]
        second = await llm.post(SURFACES[0], json=asking(model="claude-sonnet-5") | {"messages": history})
    assert second.status_code == 200
    turns = stub.asked[1]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block["tool_use_id"] for block in turns[2]["content"]] == ["toolu_1", "toolu_2"]


@pytest.mark.parametrize(("theirs", "sent"), [(64_000, 64_000), (300_000, 128_000)])
async def test_a_models_own_limit_is_used_where_a_client_sets_none(theirs: int, sent: int, tmp_path: Path) -> None:
    """By Anthropic's list, or by ours where it has less: that is what limits reserve for."""
    listed = [model("claude-sonnet-5", max_tokens=theirs), model("a"), model("b"), model("c"), model("d")]
    async with stubbed(HELLO, models=listed) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        known = (await llm.get("/v1/models")).json()["data"]
        await llm.post(SURFACES[0], json=asking(model="claude-sonnet-5"))
        await llm.post(SURFACES[0], json=asking(model="claude-sonnet-5", max_tokens=7))
    assert [one["id"] for one in known] == ["claude-sonnet-5", "a", "b", "c", "d"]
    assert [asked["max_tokens"] for asked in stub.asked] == [sent, 7]


@pytest.mark.parametrize(
    ("name", "fields", "thinking"),
    [
        ("claude-sonnet-5", {}, {"type": "adaptive"}),
        ("claude-opus-4-8", {}, {"type": "adaptive"}),
        ("claude-opus-4-6-20260205", {}, {"type": "adaptive"}),
        ("claude-haiku-4-5", {}, {"type": "enabled", "budget_tokens": 24576}),
        ("claude-sonnet-4-20250514", {"max_tokens": 3000}, {"type": "enabled", "budget_tokens": 1500}),
        ("claude-opus-4-5-20251101", {"max_tokens": 100_000}, {"type": "enabled", "budget_tokens": 24576}),
        ("claude-3-7-sonnet-20250219", {"max_tokens": 500}, None),
    ],
)
async def test_effort_is_a_budget_for_models_that_know_nothing_else(
    name: str, fields: Json, thinking: Json | None, tmp_path: Path
) -> None:
    async with (
        stubbed(HELLO) as stub,
        serving(tmp_path, {"anthropic": stub_row(stub, models=[name])}) as llm,
    ):
        answer = await llm.post(SURFACES[0], json=asking(model=name, reasoning_effort="high", **fields))
    assert answer.status_code == 200
    assert stub.asked[0].get("thinking") == thinking
    adaptive = thinking == {"type": "adaptive"}
    assert stub.asked[0].get("output_config") == ({"effort": "high"} if adaptive else None)


@pytest.mark.parametrize(("name", "roles"), [("claude-opus-4-8", "usau"), ("claude-haiku-4-5", "uau")])
async def test_a_late_system_message_moves_for_models_that_take_none(name: str, roles: str, tmp_path: Path) -> None:
    told = [{"role": role, "content": role} for role in ("user", "system", "assistant", "user")]
    async with (
        stubbed(HELLO) as stub,
        serving(tmp_path, {"anthropic": stub_row(stub, models=[name])}) as llm,
    ):
        await llm.post(SURFACES[0], json={"model": name, "messages": told})
    assert "".join(turn["role"][0] for turn in stub.asked[0]["messages"]) == roles
    assert ("system" in stub.asked[0]) is (roles == "uau")


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (refused(400, "invalid_request_error", "prompt is too long: 2 > 1"), 400, "context_length_exceeded"),
        (refused(400, "invalid_request_error", "no such field"), 400, "provider_rejected_request"),
        (refused(429, "rate_limit_error", "slow down", retry_after="7"), 429, "provider_rate_limited"),
        (refused(529, "overloaded_error", "Overloaded", retry_after="7"), 503, "provider_overloaded"),
        (refused(401, "authentication_error", "invalid"), 502, "provider_rejected_credentials"),
        (sse({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}), 503, "provider_overloaded"),
        (as_stream(HELLO).partition(b"event: content_block_start")[0], 502, "provider_cut_stream"),
    ],
)
async def test_failures_of_anthropic_are_told_in_the_clients_shape(
    answer: Response | bytes, status: int, code: str, tmp_path: Path
) -> None:
    async with stubbed(answer) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        told = await llm.post(SURFACES[0], json=asking(model="claude-sonnet-5", stream=True))
    assert told.status_code == status
    assert told.json()["error"]["code"] == code
    if status == 429:
        assert told.headers["retry-after"] == "7"


async def test_an_overloaded_anthropic_is_replaced_before_its_first_word(tmp_path: Path) -> None:
    start = as_stream(HELLO).partition(b"event: content_block_start")[0]
    broken = start + sse({"type": "error", "error": {"type": "overloaded_error", "message": "x"}})
    async with stubbed(broken) as stub, OpenAISimulator() as sim:
        rows = {"anthropic": stub_row(stub), "openai": row(sim)}
        async with serving(tmp_path, rows, routes={"auto": ["claude-sonnet-5", "gpt-4o"]}) as llm:
            answer = await llm.post(SURFACES[0], json=asking(model="auto", stream=True))
    assert answer.headers["x-synapscale-provider"] == "openai"
    assert answer.headers["x-synapscale-fallback"] == "true"


async def test_a_stream_without_its_last_event_is_cut(tmp_path: Path) -> None:
    cut = as_stream(HELLO).partition(b"event: message_stop")[0]
    async with stubbed(cut) as stub, serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
        native = await llm.post(SURFACES[1], json=asking(model="claude-sonnet-5", stream=True))
    assert events(native.text)[-1]["code"] == "provider_cut_stream"


async def test_what_cannot_be_asked_goes_to_another_or_is_named(tmp_path: Path) -> None:
    async with stubbed(HELLO) as stub, OpenAISimulator() as sim:
        rows = {"anthropic": stub_row(stub), "openai": row(sim)}
        async with serving(tmp_path, rows, routes={"auto": ["claude-sonnet-5", "gpt-4o"]}) as llm:
            alone = await llm.post(SURFACES[0], json=asking(model="claude-sonnet-5", seed=1))
            other = await llm.post(SURFACES[0], json=asking(model="auto", seed=1))
            dropped = await llm.post(SURFACES[0], json=asking(model="auto", seed=1, drop_params=["seed"]))
    assert alone.status_code == 400
    assert alone.json()["error"]["param"] == "seed"
    assert other.headers["x-synapscale-provider"] == "openai"
    assert dropped.headers["x-synapscale-provider"] == "anthropic"
    assert dropped.headers["x-synapscale-dropped"] == "seed"


async def test_a_list_is_asked_of_the_next_key_where_one_is_refused() -> None:
    async with stubbed(HELLO, models=[model("a"), model("b"), model("c")]) as stub:
        asked = provider(stub, "wrong-1", "wrong-2", KEY)
        assert await asked.list_models() == ("a", "b", "c")
        none = provider(stub, "wrong-1", "wrong-2")
        with pytest.raises(ProviderError) as failed:
            await none.list_models()
        assert failed.value.kind is Kind.CREDENTIALS
        await asked.close()
        await none.close()


async def test_tokens_are_counted_for_what_would_be_asked() -> None:
    async with stubbed(HELLO, tokens=42) as stub:
        counting = provider(stub)
        request = CompletionRequest(
            model="claude-sonnet-5",
            messages=(Message(role="system", parts=(Text("s"),)), Message(role="user", parts=(Text("x"),))),
            max_output_tokens=5,
            temperature=0.5,
            seed=3,
        )
        assert await counting.count_tokens(request, key=None) == 42
        await counting.close()
    assert stub.asked == [
        {"model": "claude-sonnet-5", "system": "s", "messages": [{"role": "user", "content": "x"}]},
    ]
    assert KEY in stub.headers[0]["authorization"]


async def test_when_to_come_back_is_told_of_lists_and_counts_too() -> None:
    asked = CompletionRequest(model="claude-sonnet-5", messages=(Message(role="user", parts=(Text("x"),)),))
    async with AnthropicSimulator() as sim:
        one = AnthropicProvider("a", base_url=sim.base_url, keys=Keys([ApiKey("k", sim.api_key)]), models=())
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "/models": one.list_models,
            "/count_tokens": partial(one.count_tokens, asked, key=None),
        }
        for path, asking_sdk in calls.items():
            sim.faults.append(Fault("status", status=429, headers={"retry-after": "30"}, path=path))
            with pytest.raises(ProviderError) as failed:
                await asking_sdk()
            assert (failed.value.kind, failed.value.retry_after) == (Kind.RATE_LIMITED, 30)
        await one.close()


async def test_an_anthropic_that_is_away_or_mute_is_told_by_kind() -> None:
    with nothing_listens() as nowhere:
        away = AnthropicProvider("a", base_url=nowhere, keys=Keys([ApiKey("k", "x")]), models=())
        with pytest.raises(ProviderError) as failed:
            await away.list_models()
        assert failed.value.kind is Kind.UNREACHABLE
        await away.close()
    async with stubbed(Response("<html>"), tokens=0) as stub:
        broken = provider(stub)
        with pytest.raises(ProviderError) as failed:
            await broken.count_tokens(
                CompletionRequest(model="m", messages=(Message(role="user", parts=(Text("x"),)),)), key=None
            )
        assert failed.value.kind is Kind.SERVER
        await broken.close()


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
async def test_the_address_is_taken_with_and_without_its_version(tail: str, tmp_path: Path) -> None:
    async with stubbed(HELLO) as stub:
        stub.base_url += tail
        async with serving(tmp_path, {"anthropic": stub_row(stub)}) as llm:
            answer = await llm.post(SURFACES[0], json=asking(model="claude-sonnet-5"))
    assert answer.status_code == 200
    assert stub.paths == ["/v1/messages"]
