"""Answers that are kept, and answers that are made once for all who ask at the same time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llm_service.cache.redis_store import RedisStore
from llm_service.cache.stores import MemoryStore
from llm_service.main import create_app
from llm_service.settings import Settings
from shared.upstreams import InProcessUpstream, Upstreams
from tests.chat_service.api import eventually
from tests.llm_service.accounts.books import requests
from tests.llm_service.serving import ANSWER, NO_DATABASE, SURFACES, asking, events, openai_chunks, row, said, serving
from tests.redis_server import running_redis
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator
from tests.tokens import SECRET, auth_stub, bearer

Json = dict[str, Any]
KEPT = {"ttl": 60}
CLAUDE = "claude-sonnet-4-5"


def asked(simulator: Any) -> int:
    return sum(one.method == "POST" for one in simulator.requests)


def text_of(answer: httpx2.Response, *, surface: str, stream: bool) -> str:
    if stream:
        return said(answer.text, surface=surface)
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def claude(simulator: AnthropicSimulator) -> Json:
    return {"type": "anthropic", "base_url": simulator.base_url, "api_key": simulator.api_key, "models": [CLAUDE]}


@asynccontextmanager
async def both() -> AsyncIterator[tuple[OpenAISimulator, AnthropicSimulator, dict[str, Json]]]:
    async with OpenAISimulator() as openai, AnthropicSimulator() as anthropic:
        yield openai, anthropic, {"openai": row(openai), "anthropic": claude(anthropic)}


@pytest.mark.parametrize("model", ["gpt-4o", CLAUDE])
@pytest.mark.parametrize("again", [True, False], ids=["streamed-again", "whole-again"])
@pytest.mark.parametrize("first", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("surface", SURFACES)
async def test_an_answer_is_given_again_in_the_form_that_is_asked_for(
    surface: str, first: bool, again: bool, model: str, tmp_path: Path
) -> None:
    async with both() as (openai, anthropic, rows), serving(tmp_path, rows) as llm:
        made = await llm.post(surface, json=asking(model=model, stream=first, cache=KEPT, user="a"))
        kept = await llm.post(surface, json=asking(model=model, stream=again, cache=KEPT, user="b"))
        fresh = await llm.post(surface, json=asking(model=model, stream=again))
        assert asked(openai) + asked(anthropic) == 2
    assert made.headers["x-synapscale-cache"] == "miss"
    assert kept.headers["x-synapscale-cache"] == "hit"
    assert "x-synapscale-cache" not in fresh.headers
    assert 0 <= int(kept.headers["age"]) < 30
    assert kept.headers["x-synapscale-model"] == model
    assert kept.headers["x-synapscale-attempts"] == "0"
    for answer, stream in ((made, first), (kept, again)):
        assert text_of(answer, surface=surface, stream=stream) == ANSWER
    if first == again and surface == SURFACES[0] and model == "gpt-4o":
        assert kept.content == made.content  # to the byte, where bytes are relayed


@pytest.mark.parametrize("stream", [True, False])
async def test_anthropics_clients_have_it_too(stream: bool, tmp_path: Path) -> None:
    body = {"model": CLAUDE, "max_tokens": 100, "messages": asking()["messages"], "cache": KEPT}
    async with both() as (_, anthropic, rows), serving(tmp_path, rows) as llm:
        made = await llm.post("/v1/messages", json={**body, "stream": not stream})
        kept = await llm.post("/v1/messages", json={**body, "stream": stream})
        again = await llm.post("/v1/messages", json={**body, "stream": not stream})
        assert asked(anthropic) == 1
    assert kept.headers["x-synapscale-cache"] == "hit"
    assert again.content == made.content
    if stream:
        assert "event: message_stop" in kept.text
        found = [json.loads(line[6:]) for line in kept.text.splitlines() if line.startswith("data: ")]
        assert "".join(e["delta"].get("text", "") for e in found if e["type"] == "content_block_delta") == ANSWER
    else:
        assert kept.json()["content"][0]["text"] == ANSWER


async def test_calls_of_tools_are_kept_whole(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    body = asking('call look {"city":"Recife"}\ncall look {"city":"Natal"}', tools=tools, cache=KEPT)
    async with both() as (openai, _, rows), serving(tmp_path, rows) as llm:
        made = await llm.post(SURFACES[0], json=body)
        kept = await llm.post(SURFACES[0], json={**body, "stream": True})
        assert asked(openai) == 1
    calls: dict[int, str] = {}
    for chunk in openai_chunks(kept.text):
        for call in chunk["choices"][0]["delta"].get("tool_calls", ()) if chunk["choices"] else ():
            calls[call["index"]] = calls.get(call["index"], "") + call["function"].get("arguments", "")
    whole = [call["function"]["arguments"] for call in made.json()["choices"][0]["message"]["tool_calls"]]
    assert [calls[0], calls[1]] == whole


async def test_the_usage_of_a_kept_answer_is_marked(tmp_path: Path) -> None:
    async with both() as (_, _, rows), serving(tmp_path, rows) as llm:
        made, kept = [await llm.post(SURFACES[1], json=asking(stream=True, cache=KEPT)) for _ in range(2)]
    assert "cached" not in events(made.text)[-1]["usage"]
    assert events(kept.text)[-1]["usage"]["cached"] is True


@pytest.mark.parametrize("stream", [True, False])
async def test_a_kept_answer_costs_nothing(stream: bool, database_url: str, tmp_path: Path) -> None:
    async with both() as (_, _, rows), serving(tmp_path, rows, database_url=database_url) as llm:
        for _ in range(2):
            answer = await llm.post(SURFACES[0], json=asking(stream=stream, cache=KEPT))
        if not stream:
            assert answer.headers["x-synapscale-cost-usd"] == "0"

        async def both_stand() -> bool:
            return len(await requests(database_url)) == 2

        await eventually(both_stand, what="the ledger has both rows", within=5)
    made, kept = sorted(await requests(database_url), key=lambda one: one["created_at"])
    assert (made["cached"], kept["cached"]) == (False, True)
    assert made["cost_usd"] > 0
    assert kept["cost_usd"] == kept["input_tokens"] == 0
    assert (kept["model"], kept["provider"], kept["result"]) == ("gpt-4o", "openai", "completed")


async def test_no_organization_is_given_anothers_answer(tmp_path: Path) -> None:
    async with both() as (openai, _, rows), serving(tmp_path, rows) as llm:
        openai.will_answer("Segredo de um.", "Segredo do outro.")
        answers = [
            await llm.post(SURFACES[0], json=asking(cache=KEPT), headers=bearer(organization_id=one))
            for one in ("org_1", "org_2", "org_1", "org_2")
        ]
        assert asked(openai) == 2
    told = [text_of(one, surface=SURFACES[0], stream=False) for one in answers]
    assert told == ["Segredo de um.", "Segredo do outro."] * 2


async def test_a_key_that_may_not_use_the_model_is_given_no_kept_answer(tmp_path: Path) -> None:
    async with both() as (_, _, rows), serving(tmp_path, rows) as llm:
        await llm.post(SURFACES[0], json=asking(cache=KEPT))
        refused = await llm.post(
            SURFACES[0], json=asking(cache=KEPT), headers=bearer(policy={"models": ["gpt-4o-mini"]})
        )
    assert refused.status_code == 403
    assert ANSWER not in refused.text


@pytest.mark.parametrize(
    "other",
    [{"temperature": 0.5}, {"seed": 1}, {"tools": []}, {"model": "openai/gpt-4o"}, {"drop_params": True}],
)
async def test_another_request_has_another_answer(other: Json, tmp_path: Path) -> None:
    async with both() as (openai, _, rows), serving(tmp_path, rows) as llm:
        await llm.post(SURFACES[0], json=asking(cache=KEPT))
        await llm.post(SURFACES[0], json={**asking(cache=KEPT), **other})
        assert asked(openai) == 2


@pytest.mark.parametrize(("kept_for", "good_for"), [(1, 60), (60, 1)])
async def test_an_answer_grows_too_old(kept_for: int, good_for: int, tmp_path: Path) -> None:
    """For who had it kept, or for who asks now."""
    async with both() as (openai, _, rows), serving(tmp_path, rows) as llm:
        await llm.post(SURFACES[0], json=asking(cache={"ttl": kept_for}))
        await asyncio.sleep(1.1)  # what is tested is time
        again = await llm.post(SURFACES[0], json=asking(cache={"ttl": good_for}))
        assert asked(openai) == 2
    assert again.headers["x-synapscale-cache"] == "miss"


async def test_a_route_may_keep_answers_and_a_request_may_refuse_them(tmp_path: Path) -> None:
    routes = {"r": {"chain": ["gpt-4o"], "cache": {"ttl": 60}}}
    async with both() as (openai, _, rows), serving(tmp_path, rows, routes=routes) as llm:
        for count, told in ((1, "miss"), (1, "hit")):
            answer = await llm.post(SURFACES[0], json=asking(model="r"))
            assert answer.headers["x-synapscale-cache"] == told
            assert asked(openai) == count
        refused = await llm.post(SURFACES[0], json=asking(model="r", cache=False))
        assert asked(openai) == 2
    assert "x-synapscale-cache" not in refused.headers


@pytest.mark.parametrize("fault", ["cut", "error-later", "content-filter", "status"])
@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_is_kept_that_is_not_complete(stream: bool, fault: Any, tmp_path: Path) -> None:
    async with both() as (openai, _, rows), serving(tmp_path, rows, timeouts={"gap": 1}) as llm:
        openai.faults.extend([Fault(fault)] * 2)
        await llm.post(SURFACES[0], json=asking(stream=stream, cache=KEPT))
        openai.faults.clear()
        before = asked(openai)
        good = await llm.post(SURFACES[0], json=asking(stream=stream, cache=KEPT))
        assert asked(openai) == before + 1
    assert text_of(good, surface=SURFACES[0], stream=stream) == ANSWER


@pytest.mark.parametrize("stream", [True, False])
async def test_who_asks_at_the_same_time_is_answered_by_one_call(stream: bool, tmp_path: Path) -> None:
    async with both() as (openai, _, rows), serving(tmp_path, rows) as llm:
        gate = openai.hold(after=1)
        asking_all = [
            asyncio.create_task(llm.post(SURFACES[0], json=asking(stream=stream and n % 2 == 0, cache=KEPT)))
            for n in range(20)
        ]
        await gate.wait_until_reached()
        gate.release()
        answers = await asyncio.gather(*asking_all)
        assert asked(openai) == 1
    assert sorted(answer.headers["x-synapscale-cache"] for answer in answers) == ["hit"] * 19 + ["miss"]
    for number, answer in enumerate(answers):
        assert text_of(answer, surface=SURFACES[0], stream=stream and number % 2 == 0) == ANSWER


async def test_without_a_cache_equal_requests_are_each_asked(tmp_path: Path) -> None:
    async with both() as (openai, _, rows), serving(tmp_path, rows) as llm:
        await asyncio.gather(*(llm.post(SURFACES[0], json=asking()) for _ in range(3)))
        assert asked(openai) == 3


@pytest.mark.parametrize("stream", [True, False])
async def test_when_the_client_that_was_first_leaves_another_takes_over(stream: bool, tmp_path: Path) -> None:
    async with both() as (openai, _, rows), serving(tmp_path, rows) as llm:
        gate = openai.hold(after=1)
        first = asyncio.create_task(llm.post(SURFACES[0], json=asking(stream=stream, cache=KEPT)))
        await gate.wait_until_reached()
        others = [asyncio.create_task(llm.post(SURFACES[0], json=asking(cache=KEPT))) for _ in range(5)]
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await openai.wait_for_request(2)
        gate.release()
        answers = await asyncio.gather(*others)
        assert asked(openai) == 2
    assert {text_of(answer, surface=SURFACES[0], stream=False) for answer in answers} == {ANSWER}


async def test_a_failure_is_the_first_ones_own(tmp_path: Path) -> None:
    """Who waited asks for itself: what failed for one may be answered for another."""
    async with both() as (openai, _, rows), serving(tmp_path, rows) as llm:
        openai.faults.append(Fault("status", status=400))
        gate = openai.hold(after=0)
        answers = await asyncio.gather(
            *(llm.post(SURFACES[0], json=asking(cache=KEPT)) for _ in range(4)), _released(gate, openai)
        )
        assert asked(openai) == 4
    statuses = sorted(answer.status_code for answer in answers[:4] if answer is not None)
    assert statuses == [200, 200, 200, 400]


async def _released(gate: Any, simulator: OpenAISimulator) -> None:
    await simulator.wait_for_request(1)
    gate.release()


async def test_memory_is_bounded_in_entries_and_bytes() -> None:
    store = MemoryStore(most_entries=3, most_bytes=1000)
    for number in range(10):
        await store.keep(f"key-{number}", b"x" * 100, ttl=60)
    assert await store.find("key-6") is None
    assert await store.find("key-7") == b"x" * 100
    await store.keep("key-10", b"y" * 700, ttl=60)
    assert store.size <= 1000
    assert await store.find("key-7") is not None  # asked for last
    assert await store.find("key-8") is None
    await store.keep("key-11", b"z" * 2000, ttl=60)
    assert store.size == 0


@asynccontextmanager
async def replica(directory: Path, rows: dict[str, Json], redis_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    path = directory / "llm.yaml"
    path.write_text(json.dumps({"providers": rows}))
    given = {"llm_config": path, "data_dir": directory, "database_url": NO_DATABASE, "env": "development"}
    given |= {"log_level": "error", "secret_key": SECRET}
    app = create_app(Settings.model_validate({**given, "redis_url": redis_url}), variables={})
    app.state.upstreams = Upstreams([auth_stub()])
    upstream = InProcessUpstream("llm", app=app)
    async with upstream.running():
        client = upstream.client()
        client.headers.update(bearer())
        yield client


async def test_replicas_share_what_is_kept_and_go_on_without_redis(tmp_path: Path) -> None:
    with running_redis(tmp_path) as redis:
        async with (
            both() as (openai, _, rows),
            replica(tmp_path, rows, redis.url) as one,
            replica(tmp_path, rows, redis.url) as other,
        ):
            made = await one.post(SURFACES[0], json=asking(cache=KEPT, stream=True))
            kept = await other.post(SURFACES[0], json=asking(cache=KEPT))
            assert asked(openai) == 1
            redis.kill()
            away = [await other.post(SURFACES[0], json=asking(cache=KEPT)) for _ in range(2)]
            assert asked(openai) == 3
    assert (made.headers["x-synapscale-cache"], kept.headers["x-synapscale-cache"]) == ("miss", "hit")
    assert text_of(kept, surface=SURFACES[0], stream=False) == ANSWER
    assert {answer.status_code for answer in away} == {200}


async def test_what_another_version_kept_is_asked_anew(tmp_path: Path) -> None:
    with running_redis(tmp_path) as redis:
        async with both() as (openai, _, rows), replica(tmp_path, rows, redis.url) as llm:
            await llm.post(SURFACES[0], json=asking(cache=KEPT))
            store = RedisStore(redis.url)
            for key in [key async for key in store._redis.scan_iter()]:  # nobody else may spoil them
                await store._redis.set(key, b"\x93of another form")
            await store.close()
            again = await llm.post(SURFACES[0], json=asking(cache=KEPT))
            assert asked(openai) == 2
    assert again.status_code == 200
