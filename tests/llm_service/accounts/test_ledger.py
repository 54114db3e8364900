"""What stands in the ledger after a request, whatever became of it."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service.api import eventually
from tests.llm_service.accounts.books import PRICE, assert_sums_agree, attempts, lines_of, requests
from tests.llm_service.serving import SURFACES, asking, events, row, serving
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator

SHORT = {"connect": 1, "headers": 0.3, "first_content": 0.3, "gap": 0.3, "total": 5}
MILLION = Decimal(1_000_000)


async def settled(database_url: str, *, count: int = 1) -> list[dict[str, Any]]:
    async def there() -> bool:
        return len(await requests(database_url)) >= count

    await eventually(there, what="the ledger has the rows", within=5)
    await assert_sums_agree(database_url)
    return await requests(database_url)


def cost_of(one: dict[str, Any]) -> Decimal:
    cost: Decimal = (one["input_tokens"] * PRICE["input"] + one["output_tokens"] * PRICE["output"]) / MILLION
    return cost


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", SURFACES)
async def test_a_completed_request_has_a_row_with_its_exact_cost(
    surface: str, stream: bool, database_url: str, tmp_path: Path
) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        answer = await llm.post(surface, json=asking(stream=stream), headers={"x-request-id": "mine-1"})
        assert answer.status_code == 200
        (one,) = await settled(database_url)
    (attempt,) = await attempts(database_url)
    assert (one["organization_id"], one["user_id"], one["session_id"]) == ("org_test", "usr_test", "ses_test")
    assert (one["model_asked"], one["model"], one["provider"]) == ("gpt-4o", "gpt-4o", "openai")
    assert (one["request_id"], one["result"], one["stream"]) == ("mine-1", "completed", stream)
    assert one["input_tokens"] > 0
    assert one["output_tokens"] > 0
    assert one["cost_usd"] == attempt["cost_usd"] == cost_of(one)
    assert not one["estimated"]
    assert 0 < one["first_content_ms"] <= one["total_ms"]
    assert answer.headers["x-synapscale-ledger-id"] == f"lreq_{one['id'].hex}"
    assert float(answer.headers["x-synapscale-overhead-ms"]) >= 0
    assert one["overhead_ms"] == round(one["overhead_ms"], 1)


async def test_the_provider_s_time_is_not_our_overhead(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator(pace=0.02) as sim:
        providers = {"openai": row(sim)}
        async with serving(tmp_path, providers, database_url=database_url) as llm:
            await llm.post(SURFACES[0], json=asking(stream=True))
            (one,) = await settled(database_url)
    assert one["total_ms"] > 100
    assert one["overhead_ms"] < one["total_ms"] / 2


async def test_a_client_is_told_what_an_answer_cost(database_url: str, tmp_path: Path) -> None:
    whole, native = SURFACES[0], "/api/llm/chat/completions"
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        header = (await llm.post(whole, json=asking())).headers["x-synapscale-cost-usd"]
        done = events((await llm.post(native, json=asking(stream=True))).text)[-1]
        found = await settled(database_url, count=2)
    assert [Decimal(header), Decimal(done["cost_usd"])] == [one["cost_usd"] for one in found]
    assert "e" not in (header + done["cost_usd"]).lower()


def unpriced(sim: OpenAISimulator) -> dict[str, Any]:
    return {"mine": row(sim, type="openai_compatible")}


async def test_what_has_no_known_price_costs_null_and_is_counted_as_such(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, unpriced(sim), database_url=database_url) as llm:
        answer = await llm.post(SURFACES[0], json=asking())
        (one,) = await settled(database_url)
        (usage,) = (await llm.get("/api/llm/usage")).json()["data"]
    assert "x-synapscale-cost-usd" not in answer.headers
    assert one["cost_usd"] is None
    assert (usage["unpriced"], usage["cost_usd"]) == (1, "0")


async def test_usage_that_the_provider_did_not_count_is_marked_as_an_estimate(
    database_url: str, tmp_path: Path
) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        sim.faults.append(Fault("no-usage"))
        answer = await llm.post(SURFACES[1], json=asking(stream=True))
        (one,) = await settled(database_url)
    assert one["estimated"]
    assert one["input_tokens"] == events(answer.text)[-1]["usage"]["input_tokens"] > 0
    assert one["output_tokens"] > 0
    assert one["cost_usd"] == cost_of(one)


async def test_every_attempt_of_a_rescued_request_stands_in_the_ledger(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as bad, OpenAISimulator() as good:
        providers = {"bad": row(bad), "openai": row(good)}
        async with serving(tmp_path, providers, timeouts=SHORT, database_url=database_url) as llm:
            bad.faults.append(Fault("status", status=429))
            await llm.post(SURFACES[0], json=asking(stream=True))
            (one,) = await settled(database_url)
    first, second = await attempts(database_url)
    assert (first["provider"], first["result"], first["status"]) == ("bad", "failed", 429)
    assert (first["error"], first["cost_usd"]) == ("provider_rate_limited", 0)
    assert (second["provider"], second["result"], second["cost_usd"]) == ("openai", "completed", one["cost_usd"])
    assert (one["provider"], one["result"]) == ("openai", "completed")


async def test_an_attempt_that_told_its_input_and_not_a_word_costs_nothing(database_url: str, tmp_path: Path) -> None:
    async with AnthropicSimulator() as bad, OpenAISimulator() as good:
        claude = {
            "type": "anthropic",
            "base_url": bad.base_url,
            "api_key": bad.api_key,
            "models": ["claude-sonnet-4-5"],
        }
        async with serving(tmp_path, {"bad": claude, "openai": row(good)}, database_url=database_url) as llm:
            bad.faults.extend([Fault("cut", after=0)] * 2)
            asked = asking(model="claude-sonnet-4-5", fallbacks=["gpt-4o"], stream=True)
            assert (await llm.post(SURFACES[0], json=asked)).status_code == 200
            (one,) = await settled(database_url)
    *failed, answered = await attempts(database_url)
    assert [(each["error"], each["cost_usd"]) for each in failed] == [("provider_cut_stream", 0)] * 2
    assert answered["cost_usd"] == one["cost_usd"] > 0


async def test_a_request_that_nobody_answered_is_a_failed_one_that_cost_nothing(
    database_url: str, tmp_path: Path
) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        sim.faults.append(Fault("status", status=401))
        assert (await llm.post(SURFACES[0], json=asking())).status_code == 502
        (one,) = await settled(database_url)
    assert (one["result"], one["error"], one["cost_usd"]) == ("failed", "provider_rejected_credentials", 0)


async def test_an_answer_that_breaks_off_is_paid_for_as_far_as_it_went(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        providers = {"openai": row(sim)}
        async with serving(tmp_path, providers, timeouts=SHORT, database_url=database_url) as llm:
            sim.faults.append(Fault("cut", after=3))
            await llm.post(SURFACES[0], json=asking(stream=True))
            (one,) = await settled(database_url)
    assert (one["result"], one["error"], one["estimated"]) == ("failed", "provider_cut_stream", True)
    assert one["output_tokens"] > 0
    assert one["cost_usd"] == cost_of(one) > 0


@pytest.mark.parametrize("after", [None, 2], ids=["before the first word", "in the middle"])
async def test_a_client_that_leaves_pays_for_what_was_said(
    after: int | None, database_url: str, tmp_path: Path
) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        sim.faults.append(Fault("stall", after=after or 0))
        call = llm.stream("POST", SURFACES[0], json=asking(stream=True))
        if after is None:
            leaving = asyncio.create_task(llm.post(SURFACES[0], json=asking(stream=True)))
            await eventually(lambda: _has(sim), what="the provider has the request")
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        else:
            async with call as answer:
                async for _ in answer.aiter_bytes():
                    break
        (one,) = await settled(database_url)
    assert (one["result"], one["error"]) == ("cancelled", None)
    if after is not None:
        assert one["estimated"]
        assert one["output_tokens"] > 0
        assert one["cost_usd"] == cost_of(one) > 0


async def _has(sim: OpenAISimulator) -> bool:
    return any(request.path.endswith("completions") for request in sim.requests)


async def test_health_tells_what_is_behind_but_completions_go_on_without_the_database(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        assert (await llm.post(SURFACES[0], json=asking())).status_code == 200

        async def told() -> bool:
            return "wait on disk" in ((await llm.get("/health")).json()["problem"] or "")

        await eventually(told, what="health tells", within=5)
        health = await llm.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert lines_of(tmp_path) == 1
