"""Budgets and limits of API keys: nothing is spent that does not fit."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI

from shared.ids import new_id
from tests.chat_service.api import eventually
from tests.llm_service.accounts.books import (
    assert_sums_agree,
    budget,
    limited,
    requests,
    rows,
    windows,
)
from tests.llm_service.serving import SURFACES, asking, row, serving
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator

CHAT = SURFACES[0]
EXPIRE = "UPDATE llm.reservations SET lease_until = now() - interval '1 minute' WHERE charged_at IS NULL"
SMALL: dict[str, Any] = {"max_tokens": 100}
"""An answer of at most 100 tokens of gpt-4o costs at most 0.001 USD, and the question very little."""


async def test_a_budget_pays_until_the_next_request_might_not_fit(database_url: str, tmp_path: Path) -> None:
    key = limited(budget=budget("0.0025"))
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        answers = [await llm.post(CHAT, json=asking(**SMALL), headers=key) for _ in range(40)]
    spent, reserved = (await windows(database_url))["budget:month"]
    codes = [answer.status_code for answer in answers]
    assert codes[0] == 200
    assert codes[-1] == 429
    assert codes == sorted(codes)
    assert reserved == 0
    assert spent == sum(one["cost_usd"] for one in await requests(database_url)) <= Decimal("0.0025")
    refusal = answers[-1].json()["error"]
    assert (refusal["code"], refusal["type"]) == ("budget_exhausted", "rate_limit_error")
    assert refusal["limit"] == "0.0025"
    assert int(answers[-1].headers["retry-after"]) > 1
    await assert_sums_agree(database_url)


@pytest.mark.parametrize("more", [{"routing": {"assured": True}}, {"context": {"strategy": "summarize"}}])
async def test_what_attempts_beside_the_answers_may_cost_is_reserved_too(
    more: dict[str, Any], database_url: str, tmp_path: Path
) -> None:
    key = limited(budget=budget("0.0015"))
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        refused = await llm.post(CHAT, json=asking(**SMALL, **more), headers=key)
        assert not [one for one in sim.requests if one.method == "POST"]
        answered = await llm.post(CHAT, json=asking(**SMALL), headers=key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "request_exceeds_limit")
    assert answered.status_code == 200


async def test_a_native_client_is_refused_with_a_problem(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        key = limited(budget=budget("0.0012"))
        answered = 0
        while (answer := await llm.post(SURFACES[1], json=asking(stream=True, **SMALL), headers=key)).is_success:
            answered += 1
        assert answered == len([one for one in sim.requests if one.path.endswith("completions")])
    assert (answer.status_code, answer.json()["code"]) == (429, "budget_exhausted")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("policy", "name", "limit"),
    [({"budget": budget("0.0005")}, "budget", "0.0005"), ({"tokens_per_minute": 90}, "tokens_per_minute", "90")],
)
async def test_what_a_whole_limit_has_no_room_for_is_refused_as_nothing_to_repeat(
    policy: dict[str, Any], name: str, limit: str, database_url: str, tmp_path: Path
) -> None:
    key = limited(**policy)
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        answers = [await llm.post(path, json=asking(**SMALL), headers=key) for path in (*SURFACES, "/v1/messages")]
        assert not [one for one in sim.requests if one.method == "POST"]
    assert [(one.status_code, one.headers.get("retry-after")) for one in answers] == [(413, None)] * 3
    openai, native, anthropic = [one.json() for one in answers]
    assert (openai["error"]["type"], anthropic["error"]["type"]) == ("invalid_request_error", "request_too_large")
    for told in (openai["error"], native, anthropic["error"]):
        assert (told["code"], told["exceeded"], told["limit"]) == ("request_exceeds_limit", name, limit)
        assert Decimal(told["requested"]) > Decimal(limit)
    assert await rows(database_url, "SELECT * FROM llm.reservations") == []


async def test_openai_s_sdk_asks_once_where_no_waiting_helps(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        asked = 0

        async def count(_: Any) -> None:
            nonlocal asked
            asked += 1

        llm.event_hooks = {"request": [count]}
        client = AsyncOpenAI(
            base_url=str(llm.base_url).rstrip("/") + "/v1",
            api_key="none",
            http_client=llm,
            default_headers=limited(tokens_per_minute=90),
        )
        with pytest.raises(APIStatusError) as refusal:
            await client.chat.completions.create(**asking(**SMALL))
    assert (refusal.value.status_code, asked) == (413, 1)


async def test_tokens_of_a_minute_are_bounded(database_url: str, tmp_path: Path) -> None:
    key = limited(tokens_per_minute=150)
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        first = await llm.post(CHAT, json=asking(max_tokens=50), headers=key)
        second = await llm.post(CHAT, json=asking(max_tokens=100), headers=key)
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["error"]["code"] == "tokens_per_minute"
    assert 1 <= int(second.headers["retry-after"]) <= 60
    (one,) = await requests(database_url)
    used = one["input_tokens"] + one["output_tokens"]
    assert (await windows(database_url))["tokens_per_minute"] == (used, 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_one_request_at_a_time_means_the_next_may_follow_at_once(
    stream: bool, database_url: str, tmp_path: Path
) -> None:
    key = limited(concurrent_requests=1)
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        for _ in range(10):
            async with llm.stream("POST", CHAT, json=asking(stream=stream), headers=key) as answer:
                assert answer.status_code == 200
                async for line in answer.aiter_lines():
                    if line == "data: [DONE]":
                        break  # as SDKs do: the connection may still be open


async def test_too_many_requests_at_a_time_are_refused_and_let_in_again(database_url: str, tmp_path: Path) -> None:
    key = limited(concurrent_requests=2)
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        sim.faults.extend([Fault("stall", after=1)] * 2)
        open_streams = [llm.stream("POST", CHAT, json=asking(stream=True), headers=key) for _ in range(2)]
        for stream in open_streams:
            assert (await stream.__aenter__()).status_code == 200
        refused = await llm.post(CHAT, json=asking(), headers=key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "concurrent_requests")
        assert refused.headers["retry-after"] == "1"
        await open_streams[0].__aexit__(None, None, None)

        async def let_in() -> bool:
            return (await llm.post(CHAT, json=asking(), headers=key)).status_code == 200

        await eventually(let_in, what="a request is let in again", within=3)
        await open_streams[1].__aexit__(None, None, None)

        async def all_let_go() -> bool:
            return (await windows(database_url))["concurrent_requests"] == (0, 0)

        await eventually(all_let_go, what="no slot is taken", within=3)


async def test_what_acts_for_a_key_spends_from_the_key_s_budget(database_url: str, tmp_path: Path) -> None:
    key_id = new_id("key")
    own = limited(key_id, budget=budget("1"))
    grant = {**limited(key_id, budget=budget("1"))}
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        await llm.post(CHAT, json=asking(**SMALL), headers=own)
        await llm.post(CHAT, json=asking(**SMALL), headers=grant)
    found = await rows(database_url, "SELECT subject, spent FROM llm.limit_windows")
    total = sum(one["cost_usd"] for one in await requests(database_url))
    assert found == [{"subject": key_id, "spent": total}]


async def test_an_answer_is_as_long_as_what_is_left_pays_for_where_the_client_sets_no_limit(
    database_url: str, tmp_path: Path
) -> None:
    """The longest answer of gpt-4o, 16,384 tokens, costs 0.164 USD."""
    key = limited(budget=budget("0.05"))
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        whole = await llm.post(CHAT, json=asking(), headers=key)
        streamed = await llm.post(CHAT, json=asking(stream=True), headers=key)
        explicit = await llm.post(CHAT, json=asking(max_tokens=16_384), headers=key)
        plenty = await llm.post(CHAT, json=asking(), headers=limited(budget=budget("1")))
        sent = [one.body.get("max_completion_tokens") for one in sim.requests if one.method == "POST"]
    told = [int(one.headers["x-synapscale-max-output-tokens"]) for one in (whole, streamed)]
    assert [one.status_code for one in (whole, streamed, explicit, plenty)] == [200, 200, 413, 200]
    assert sent == [*told, None]
    assert 5000 > told[0] > told[1] > 4800
    assert "x-synapscale-max-output-tokens" not in plenty.headers


async def test_tokens_of_the_minute_bound_an_answer_without_a_limit_of_its_own(
    database_url: str, tmp_path: Path
) -> None:
    """Only a useful answer is given: what has room for less is refused."""
    async with OpenAISimulator() as sim:
        providers = {"mine": row(sim, type="openai_compatible")}
        async with serving(tmp_path, providers, database_url=database_url) as llm:
            answer = await llm.post(CHAT, json=asking(), headers=limited(tokens_per_minute=2000))
            little = await llm.post(CHAT, json=asking(), headers=limited(tokens_per_minute=1000))
            (sent,) = [one.body for one in sim.requests if one.method == "POST"]
    assert (answer.status_code, little.status_code) == (200, 413)
    assert str(sent["max_tokens"]) == answer.headers["x-synapscale-max-output-tokens"]
    assert 1900 < sent["max_tokens"] < 2000


async def test_each_of_several_targets_gets_a_limit_that_it_can_have(database_url: str, tmp_path: Path) -> None:
    """gpt-4-turbo says 4,096 tokens at most, which fit; gpt-4o would say 16,384, which do not."""
    key = limited(tokens_per_minute=8000)
    async with OpenAISimulator() as sim:
        providers = {"openai": row(sim, models=("gpt-4-turbo", "gpt-4o"))}
        async with serving(tmp_path, providers, database_url=database_url) as llm:
            sim.faults.append(Fault("status", status=404))
            answer = await llm.post(CHAT, json=asking(model="gpt-4-turbo", fallbacks=["gpt-4o"]), headers=key)
            sent = [one.body for one in sim.requests if one.method == "POST"]
    assert answer.status_code == 200, answer.text
    assert [one["model"] for one in sent] == ["gpt-4-turbo", "gpt-4o"]
    assert "max_completion_tokens" not in sent[0]
    assert 7800 < sent[1]["max_completion_tokens"] < 8000


async def test_a_budget_is_not_spent_where_nobody_knows_the_price(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        providers = {"mine": row(sim, type="openai_compatible")}
        async with serving(tmp_path, providers, database_url=database_url) as llm:
            answer = await llm.post(CHAT, json=asking(), headers=limited(budget=budget("1")))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "price_unknown")


async def test_a_failed_request_gives_back_all_that_it_had_reserved(database_url: str, tmp_path: Path) -> None:
    key = limited(budget=budget("1"), tokens_per_minute=100_000, concurrent_requests=3)
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        sim.faults.append(Fault("status", status=401))
        assert (await llm.post(CHAT, json=asking(), headers=key)).status_code == 502
    assert set((await windows(database_url)).values()) == {(Decimal(0), Decimal(0))}
    assert await rows(database_url, "SELECT * FROM llm.reservations") == []


async def test_who_has_no_limits_asks_nothing_of_the_database_and_who_has_waits_for_it(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        assert (await llm.post(CHAT, json=asking())).status_code == 200
        refused = await llm.post(CHAT, json=asking(), headers=limited(concurrent_requests=5))
    assert refused.status_code == 503
    assert "retry-after" in refused.headers


async def test_clients_that_leave_at_random_leave_no_reservation_behind(database_url: str, tmp_path: Path) -> None:
    key = limited(budget=budget("1000"), tokens_per_minute=100_000_000, concurrent_requests=100_000)
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:

        async def leave(number: int) -> None:
            asked = asyncio.create_task(llm.post(CHAT, json=asking(stream=True), headers=key))
            await asyncio.wait([asked], timeout=number / 500)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

        sim.faults.extend([Fault("stall", after=1), Fault("stall", after=0)] * 50)
        for batch in range(10):
            await asyncio.gather(*(leave(20 * batch + number) for number in range(20)))

        async def nothing_is_held() -> bool:
            return await rows(database_url, "SELECT * FROM llm.reservations") == []

        sim.faults.clear()  # where few have come so far, some are left
        assert (await llm.post(CHAT, json=asking(), headers=key)).status_code == 200, "and one stays to the end"
        await eventually(nothing_is_held, what="no reservation is left", within=20)
        assert await requests(database_url)
    spent, reserved = (await windows(database_url))["budget:month"]
    assert reserved == 0
    assert spent == sum(one["cost_usd"] for one in await requests(database_url))
    await assert_sums_agree(database_url)


async def test_a_reservation_of_the_dead_is_charged_and_put_right_when_more_is_known(
    database_url: str, tmp_path: Path
) -> None:
    """The lease is cut short in the table, as it would be for a process that hangs for a minute."""
    key = limited(budget=budget("1"), concurrent_requests=3)
    async with OpenAISimulator() as sim:
        providers = {"openai": row(sim)}
        async with serving(tmp_path, providers, database_url=database_url, lease_seconds=0.5) as llm:
            sim.faults.append(Fault("stall", after=1))
            async with llm.stream("POST", CHAT, json=asking(stream=True, **SMALL), headers=key) as answer:
                assert answer.status_code == 200

                async def charged() -> bool:
                    await rows(database_url, EXPIRE)  # again and again, for the owner renews it
                    return [one["result"] for one in await requests(database_url)] == ["lost"]

                await eventually(charged, what="the reservation is charged", within=5)
                (lost,) = await requests(database_url)
                assert lost["estimated"]
                assert (await windows(database_url))["budget:month"] == (lost["cost_usd"], 0)
                assert (await windows(database_url))["concurrent_requests"] == (0, 0)
                await assert_sums_agree(database_url)

            async def corrected() -> bool:
                return [one["result"] for one in await requests(database_url)] == ["cancelled"]

            await eventually(corrected, what="the ledger is put right", within=5)
    (one,) = await requests(database_url)
    assert 0 < one["cost_usd"] < lost["cost_usd"]
    assert (await windows(database_url))["budget:month"] == (one["cost_usd"], 0)
    await assert_sums_agree(database_url)
