"""`GET /api/llm/limits`: what a caller has left."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from shared.ids import new_id
from tests.llm_service.accounts.books import budget, limited, requests, rows
from tests.llm_service.serving import SURFACES, asking, row, serving
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator
from tests.tokens import bearer

LIMITS = "/api/llm/limits"


async def assert_told(database_url: str, told: dict[str, Any]) -> None:
    """What is told of a window is what stands in the table."""
    found = await rows(database_url, "SELECT * FROM llm.limit_windows")
    kept = {(one["dimension"].partition(":")[0], one["starts_at"]): (one["spent"], one["reserved"]) for one in found}
    for one in told["limits"]:
        starts_at = datetime.fromisoformat(one["starts_at"] or "1970-01-01T00:00:00Z")
        spent, reserved = kept.get((one["name"], starts_at), (0, 0))
        assert (Decimal(one["spent"]), Decimal(one["reserved"])) == (spent, reserved), one
        assert Decimal(one["remaining"]) == Decimal(one["limit"]) - spent - reserved, one


async def test_a_caller_reads_what_is_used_and_reserved_and_left(database_url: str, tmp_path: Path) -> None:
    policy: dict[str, Any] = {"tokens_per_minute": 100_000, "concurrent_requests": 2, "requests_per_minute": 60}
    key = limited("key_mine", budget=budget("1.50"), models=["gpt-4o"], **policy)
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        fresh = (await llm.get(LIMITS, headers=key)).json()
        await llm.post(SURFACES[0], json=asking(max_tokens=100), headers=key)
        sim.faults.append(Fault("stall", after=1))
        async with llm.stream("POST", SURFACES[0], json=asking(stream=True, max_tokens=100), headers=key) as answer:
            assert answer.status_code == 200
            running = (await llm.get(LIMITS, headers=key)).json()
            await assert_told(database_url, running)
    assert (fresh["key_id"], fresh["models"], fresh["requests_per_minute"]) == ("key_mine", ["gpt-4o"], 60)
    money, tokens, slots = fresh["limits"]
    assert [one["name"] for one in fresh["limits"]] == ["budget", "tokens_per_minute", "concurrent_requests"]
    assert [one["remaining"] for one in fresh["limits"]] == ["1.5", "100000", "2"]
    assert [(one["unit"], one["period"]) for one in (money, slots)] == [("usd", "month"), ("slots", "total")]
    month, minute = money["resets_at"], tokens["resets_at"]
    assert datetime.fromisoformat(minute) - datetime.fromisoformat(tokens["starts_at"]) == timedelta(minutes=1)
    assert datetime.fromisoformat(month).day == 1
    assert datetime.now(UTC) < datetime.fromisoformat(month) <= datetime.now(UTC) + timedelta(days=31)
    assert (slots["starts_at"], slots["resets_at"]) == (None, None)
    spent, _ = await requests(database_url)
    money, _, slots = running["limits"]
    assert Decimal(money["spent"]) == spent["cost_usd"] > 0
    assert Decimal(money["reserved"]) >= Decimal("0.001"), "100 tokens of output"
    assert (slots["reserved"], slots["remaining"]) == ("1", "1")


async def test_what_acts_for_a_key_reads_the_key_s_limits(database_url: str, tmp_path: Path) -> None:
    key_id = new_id("key")
    policy = {"budget": budget("1", "total"), "key": key_id}
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        await llm.post(SURFACES[0], json=asking(), headers=bearer(sid=key_id, policy=policy))
        told = (await llm.get(LIMITS, headers=bearer(sid=new_id("gnt"), policy=policy))).json()
        await assert_told(database_url, told)
        foreign = bearer(organization_id="org_other", sid=key_id, policy=policy)
        (of_others,) = (await llm.get(LIMITS, headers=foreign)).json()["limits"]
    (one,) = told["limits"]
    assert told["key_id"] == key_id
    assert (one["resets_at"], Decimal(one["spent"]) > 0, of_others["spent"]) == (None, True, "0")


async def test_who_has_no_limits_is_told_so_and_limits_are_not_guessed(tmp_path: Path) -> None:
    """Without a database."""
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        none = await llm.get(LIMITS)
        away = await llm.get(LIMITS, headers=limited(concurrent_requests=1))
        scoped = await llm.get(LIMITS, headers=bearer(scopes="llm:read llm:invoke"))
    assert none.json() == {"key_id": "", "models": None, "requests_per_minute": None, "limits": []}
    assert (away.status_code, scoped.status_code) == (503, 403)
