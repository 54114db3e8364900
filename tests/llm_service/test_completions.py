"""A completion, answered: both surfaces, streamed and whole, relayed and translated."""

import asyncio
from pathlib import Path

import pytest

from tests.llm_service.serving import ANSWER, QUESTION, SURFACES, asking, events, openai_chunks, row, said, serving
from tests.simulators.openai import OpenAISimulator


@pytest.mark.parametrize("surface", SURFACES)
async def test_whole_and_streamed_answers_say_the_same(surface: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        whole = await llm.post(surface, json=asking())
        streamed = await llm.post(surface, json=asking(stream=True))
    assert whole.json()["choices"][0]["message"]["content"] == ANSWER
    assert said(streamed.text, surface=surface) == ANSWER
    for answer in (whole, streamed):
        assert answer.headers["x-synapscale-provider"] == "openai"
        assert answer.headers["x-synapscale-model"] == "gpt-4o"
        assert answer.headers["x-synapscale-attempts"] == "1"
        assert answer.headers["x-synapscale-fallback"] == "false"
        assert answer.headers["x-request-id"]


async def test_a_whole_answer_is_relayed_to_the_byte(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = (await llm.post(SURFACES[0], json=asking())).json()
    assert answer["system_fingerprint"].startswith("fp_")
    assert answer["choices"][0]["message"]["annotations"] == []
    assert answer["service_tier"] == "default"


async def test_unknown_fields_reach_the_provider_and_ours_do_not(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        body = asking(fallbacks=[], routing={"mode": "ordered"}, prediction={"type": "content", "content": "x"})
        await llm.post(SURFACES[0], json=body)
        sent = next(request.body for request in sim.requests if request.method == "POST")
    assert sent["prediction"] == {"type": "content", "content": "x"}
    assert "fallbacks" not in sent
    assert "routing" not in sent


async def test_usage_is_always_asked_for_and_shown_only_to_who_asked(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        silent = await llm.post(SURFACES[0], json=asking(stream=True))
        asked = await llm.post(SURFACES[0], json=asking(stream=True, stream_options={"include_usage": True}))
        native = await llm.post(SURFACES[1], json=asking(stream=True))
        sent = [request.body for request in sim.requests if request.method == "POST"]
    assert all(body["stream_options"] == {"include_usage": True} for body in sent)
    assert not any(chunk.get("usage") for chunk in openai_chunks(silent.text))
    last = openai_chunks(asked.text)[-1]
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 0
    done = events(native.text)[-1]
    assert done["usage"]["output_tokens"] == last["usage"]["completion_tokens"]
    assert done["usage"]["estimated"] is False


async def test_a_usage_that_the_provider_does_not_tell_is_estimated_and_marked(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(SURFACES[1], json=asking(model="openai/fault-no-usage", stream=True))
    usage = events(answer.text)[-1]["usage"]
    assert usage["estimated"] is True
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0


async def test_the_key_of_the_provider_is_sent_and_the_token_of_the_client_is_not(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        await llm.post(SURFACES[0], json=asking())
        sent = [request.headers["authorization"] for request in sim.requests]
        token = llm.headers["authorization"]
    assert set(sent) == {f"Bearer {sim.api_key}"}
    assert token not in sent


@pytest.mark.parametrize("surface", SURFACES)
async def test_tool_calls_are_the_same_streamed_and_whole(surface: str, tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in ("add", "now")]
    body = asking('call add {"a": 1, "b": "ação"}\ncall now {}', tools=tools)
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        whole = (await llm.post(surface, json=body)).json()["choices"][0]
        streamed = (await llm.post(surface, json={**body, "stream": True})).text
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in whole["message"]["tool_calls"]]
    assert calls == [("add", '{"a":1,"b":"ação"}'), ("now", "{}")]
    if surface.startswith("/api/"):
        assert [(e["name"], e["arguments"]) for e in events(streamed) if e["type"] == "tool_call"] == calls
        assert events(streamed)[-1]["finish_reason"] == whole["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("model", ["fault-split", "fault-crlf", "fault-comments", "fault-drip"])
@pytest.mark.parametrize("surface", SURFACES)
async def test_a_stream_in_odd_pieces_is_read_whole(surface: str, model: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(surface, json=asking("Say it with emoji", model=f"openai/{model}", stream=True))
    assert said(answer.text, surface=surface) == "Olá, coração 👋🏽 — 日本語, ação e 🇧🇷 em uma família 👨‍👩‍👧‍👦!"


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_huge_event_passes(surface: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(surface, json=asking(model="openai/fault-huge", stream=True))
    assert len(said(answer.text, surface=surface)) == 1_000_000


@pytest.mark.parametrize("surface", SURFACES)
async def test_an_answer_without_a_word_is_an_answer(surface: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        whole = await llm.post(surface, json=asking(model="openai/fault-empty"))
        streamed = await llm.post(surface, json=asking(model="openai/fault-empty", stream=True))
    assert whole.json()["choices"][0]["message"]["content"] == ""
    assert said(streamed.text, surface=surface) == ""
    assert streamed.headers["x-synapscale-attempts"] == "1"


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_streamed_word_arrives_before_the_next_is_said(surface: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        gate = sim.hold(after=1)
        async with llm.stream("POST", surface, json=asking(stream=True)) as answer:
            text = ""
            async for piece in answer.aiter_text():
                text += piece
                if '"A"' in text:
                    break
            await gate.wait_until_reached()
            assert "Brasília" not in text
            gate.release()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("held", [0, 2])
@pytest.mark.parametrize("surface", SURFACES)
async def test_the_provider_is_left_when_the_client_leaves(
    surface: str, held: int, stream: bool, tmp_path: Path
) -> None:
    """Also before the first word: then the client leaves while it waits for the headers."""
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        sim.hold(after=held)
        asked = asyncio.create_task(llm.post(surface, json=asking(stream=stream)))
        both = [await sim.wait_for_request(number) for number in (1, 2)]  # the other lists the models
        request = next(one for one in both if one.method == "POST")
        await asyncio.wait_for(request.held.wait(), 5)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await asyncio.wait_for(request.disconnected.wait(), 5)


async def test_without_a_provider_development_echoes_and_says_so(tmp_path: Path) -> None:
    inactive = {"openai": {"type": "openai", "api_key": "${NOT_SET}", "base_url": "http://x", "models": ["gpt-4"]}}
    async with serving(tmp_path, inactive, routes={"auto": ["gpt-4"]}) as llm:
        for model in ("gpt-4", "auto"):
            for stream in (True, False):
                answer = await llm.post(SURFACES[1], json=asking(model=model, stream=stream))
                assert answer.headers["x-synapscale-provider"] == "echo"
        assert said(answer.text, surface=SURFACES[1]) if stream else answer.json()["choices"][0]["message"]["content"]
        listed = (await llm.get("/api/llm/models")).json()["data"]
        assert all(model["providers"] == ["echo"] for model in listed)
        relayed = await llm.post(SURFACES[0], json=asking(model="gpt-4", stream=True))
        assert said(relayed.text, surface=SURFACES[0]) == QUESTION


async def test_without_a_provider_production_answers_503(tmp_path: Path) -> None:
    inactive = {"openai": {"type": "openai", "api_key": "${NOT_SET}", "base_url": "http://x", "models": ["gpt-4"]}}
    async with serving(tmp_path, inactive, env="production") as llm:
        answer = await llm.post(SURFACES[1], json=asking(model="gpt-4"))
    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
