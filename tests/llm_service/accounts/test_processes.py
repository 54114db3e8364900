"""Several llm-services, as processes of their own, on one database: killed, stopped, and cut off from it."""

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.postgres import EmbeddedPostgres
from migrations.run import upgrade
from tests.chat_service.api import eventually
from tests.chat_service.serving import ServiceProcess, service_process
from tests.llm_service.accounts.books import (
    assert_sums_agree,
    budget,
    files_of,
    limited,
    lines_of,
    requests,
    rows,
    windows,
)
from tests.llm_service.serving import SURFACES, asking, row
from tests.outage import outage
from tests.serving import served
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator
from tests.tokens import SECRET, auth_stub, bearer

CHAT, EMBEDDER = SURFACES[0], "text-embedding-3-large"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lowered": (CHAT, asking("Count to 1200")),
    "whole": (CHAT, asking(max_tokens=50)),
    "streamed": (CHAT, asking("Count to 60", stream=True, max_tokens=50)),
    "embeddings": ("/v1/embeddings", {"model": EMBEDDER, "input": "ação " * 500, "dimensions": 8}),
}
"""Of gpt-4o the first may cost all that is left, as no limit is set, and costs 0.012 USD or what is left; the next cost
about 0.00007 and 0.0005 of the 0.0005 that they may, and the last 0.000065 of 0.00015."""


@pytest.fixture
async def sim() -> AsyncIterator[OpenAISimulator]:
    async with OpenAISimulator() as simulator:
        yield simulator


@asynccontextmanager
async def replicas(
    number: int, directory: Path, sim: OpenAISimulator, database_url: str, **settings: str
) -> AsyncIterator[list[ServiceProcess]]:
    config = directory / "llm.yaml"
    config.write_text(yaml.safe_dump({"providers": {"openai": row(sim, models=("gpt-4o", EMBEDDER))}}))
    given = {"llm_config": str(config), "database_url": database_url, "secret_key": SECRET, "log_level": "error"}
    async with AsyncExitStack() as stack:
        auth_url = await stack.enter_async_context(served(auth_stub().app))
        one = {"auth_url": auth_url, **given, **settings}

        async def start() -> ServiceProcess:
            return await stack.enter_async_context(service_process("llm_service.main", directory, **one))

        async with asyncio.TaskGroup() as starting:
            started = [starting.create_task(start()) for _ in range(number)]
        yield [each.result() for each in started]


async def ask(process: ServiceProcess, headers: dict[str, str], **fields: Any) -> int:
    answer = await process.client.post(CHAT, json=asking(**fields), headers=headers, timeout=30)
    return answer.status_code


async def count(database_url: str) -> int:
    return len(await requests(database_url))


async def written(database_url: str, number: int, *, within: float = 10) -> None:
    async def there() -> bool:
        return await count(database_url) >= number

    await eventually(there, what=f"{number} requests are in the ledger", within=within)


async def test_fifty_at_once_at_three_replicas_never_overshoot_a_budget(
    database_url: str, sim: OpenAISimulator, tmp_path: Path
) -> None:
    """Whoever finds others' reservations in the way asks again when some are settled, or after a second, as told."""
    key = limited(budget=budget("0.03"), concurrent_requests=1000)
    answered: Counter[str] = Counter()
    room = asyncio.Semaphore(0)
    async with replicas(3, tmp_path, sim, database_url) as processes:

        async def spend(process: ServiceProcess, kind: str) -> None:
            """Until no other's reservation is all that stands in the way."""
            path, body = KINDS[kind]
            while True:
                answer = await process.client.post(path, json=body, headers=key, timeout=60)
                assert answer.status_code in (200, 429, 503), "503: no connection came free in time"
                answered[kind] += answer.status_code == 200
                if answer.status_code == 429 and answer.headers["retry-after"] == "1":
                    with suppress(TimeoutError):  # as it was told to
                        await asyncio.wait_for(room.acquire(), 1)
                    continue
                for _ in range(2):
                    room.release()
                if answer.status_code == 429:
                    return

        kinds = [kind for kind in KINDS for _ in range(13)][:50]
        await asyncio.gather(*(spend(process, kind) for kind in kinds for process in processes))
        await written(database_url, answered.total())
    spent, reserved = (await windows(database_url))["budget:month"]
    paid = sum(one["cost_usd"] for one in await requests(database_url))
    assert spent == paid <= Decimal("0.03")
    assert reserved == 0
    assert paid > Decimal("0.0298"), "what did fit was let in"
    assert set(+answered) == set(KINDS)
    assert await count(database_url) == answered.total()
    await assert_sums_agree(database_url)


async def test_never_more_at_a_time_than_the_limit_at_three_replicas_together(
    database_url: str, sim: OpenAISimulator, tmp_path: Path
) -> None:
    key = limited(concurrent_requests=10)
    sim.faults.extend([Fault("stall", after=1)] * 60)
    async with replicas(3, tmp_path, sim, database_url) as processes, AsyncExitStack() as streams:

        async def begin(process: ServiceProcess) -> int:
            call = process.client.stream("POST", CHAT, json=asking(stream=True), headers=key, timeout=30)
            return (await streams.enter_async_context(call)).status_code

        codes = await asyncio.gather(*(begin(process) for process in processes for _ in range(20)))
        assert codes.count(200) == 10
        assert codes.count(429) == 50


async def test_what_a_killed_replica_had_reserved_is_charged(
    database_url: str, sim: OpenAISimulator, tmp_path: Path
) -> None:
    key = limited(budget=budget("1"), tokens_per_minute=100_000, concurrent_requests=2)
    sim.faults.append(Fault("stall", after=1))
    async with replicas(2, tmp_path, sim, database_url, llm_lease_seconds="1") as (doomed, successor):
        async with doomed.client.stream("POST", CHAT, json=asking(stream=True, max_tokens=100), headers=key) as answer:
            assert answer.status_code == 200
            held = await windows(database_url)
            assert await doomed.end(signal.SIGKILL) == -signal.SIGKILL

        async def charged() -> bool:
            return [one["result"] for one in await requests(database_url)] == ["lost"]

        await eventually(charged, what="the lease expires", within=10)
        assert await ask(successor, key, max_tokens=100) == 200
    lost, later = await requests(database_url)
    assert lost["estimated"]
    assert lost["cost_usd"] == held["budget:month"][1]
    assert (await windows(database_url))["budget:month"] == (lost["cost_usd"] + later["cost_usd"], 0)
    assert (await windows(database_url))["concurrent_requests"] == (0, 0)
    await assert_sums_agree(database_url)


async def test_a_lease_is_renewed_for_as_long_as_its_owner_lives(
    database_url: str, sim: OpenAISimulator, tmp_path: Path
) -> None:
    key = limited(budget=budget("1"))
    sim.faults.append(Fault("stall", after=1))
    until = "SELECT lease_until FROM llm.reservations"
    async with replicas(2, tmp_path, sim, database_url, llm_lease_seconds="1") as (owner, _):
        async with owner.client.stream("POST", CHAT, json=asking(stream=True, max_tokens=100), headers=key):
            ((first,),) = [row.values() for row in await rows(database_url, until)]

            async def renewed_well_beyond() -> bool:
                ((now,),) = [row.values() for row in await rows(database_url, until)]
                return bool((now - first).total_seconds() > 2)

            await eventually(renewed_well_beyond, what="the lease is renewed", within=8)
        await written(database_url, 1)
    assert [one["result"] for one in await requests(database_url)] == ["cancelled"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_graceful_stop_loses_no_row(
    database_url: str, sim: OpenAISimulator, tmp_path: Path, number: signal.Signals
) -> None:
    sim.faults.append(Fault("stall", after=2))
    async with replicas(1, tmp_path, sim, database_url) as (process,):
        async with process.client.stream("POST", CHAT, json=asking(stream=True), headers=bearer()) as cut_off:
            codes = await asyncio.gather(*(ask(process, bearer()) for _ in range(40)))
            process.process.send_signal(number)
            async for _ in cut_off.aiter_bytes():
                pass
        await asyncio.wait_for(process.process.wait(), 10)
    assert codes == [200] * 40
    found = [one["result"] for one in await requests(database_url)]
    assert sorted(found) == ["completed"] * 40 + ["interrupted"]
    await assert_sums_agree(database_url)


async def test_nothing_is_lost_or_doubled_when_the_database_goes_away_under_load(
    database_url: str, sim: OpenAISimulator, tmp_path: Path
) -> None:
    answered = 0
    going = True
    async with replicas(2, tmp_path, sim, database_url) as processes:

        async def load(process: ServiceProcess) -> None:
            nonlocal answered
            while going:
                assert await ask(process, bearer()) == 200
                answered += 1

        loads = [asyncio.create_task(load(process)) for process in processes for _ in range(3)]
        for _ in range(2):
            await written(database_url, await count(database_url) + 20)
            async with outage(database_url):
                before = answered

                async def went_on(before: int = before) -> bool:
                    return answered >= before + 40

                await eventually(went_on, what="completions go on without the database", within=15)
            await written(database_url, answered, within=20)
        going = False
        await asyncio.gather(*loads)
        await written(database_url, answered, within=20)
        healths = [(await process.client.get("/health")).json() for process in processes]
    assert await count(database_url) == answered
    assert [health["status"] for health in healths] == ["ok", "ok"]
    assert files_of(tmp_path / ".synapscale") == []
    await assert_sums_agree(database_url)


async def test_a_database_server_may_be_restarted_under_load(sim: OpenAISimulator, tmp_path: Path) -> None:
    """With limits, so that some requests are refused meanwhile; those that are answered are all in the ledger."""
    keys = [bearer(), limited(budget=budget("1000"), concurrent_requests=1000)]
    codes: list[int] = []
    going = True
    with tempfile.TemporaryDirectory(prefix="syn-") as directory:
        os.chmod(directory, 0o711)  # PostgreSQL has a user of its own where the tests run as root
        server = EmbeddedPostgres(Path(directory) / "data")
        try:
            url = await asyncio.to_thread(server.start)
            await asyncio.to_thread(upgrade, url)
            async with replicas(2, tmp_path, sim, url) as processes:

                async def load(process: ServiceProcess, headers: dict[str, str]) -> None:
                    while going:
                        codes.append(await ask(process, headers))

                loads = [asyncio.create_task(load(process, key)) for process in processes for key in keys * 2]
                await written(url, 50)
                await asyncio.to_thread(server.stop)
                before = codes.count(200)

                async def went_on() -> bool:
                    return codes.count(200) >= before + 40 and 503 in codes

                await eventually(went_on, what="some are answered, some told to come back", within=20)
                await asyncio.to_thread(server.start)
                await written(url, codes.count(200), within=20)
                going = False
                await asyncio.gather(*loads)
                await written(url, codes.count(200), within=20)
                await eventually(lambda: _nothing_held(url), what="nothing is reserved", within=10)
                found = await requests(url)
                assert set(codes) == {200, 503}
                assert [one["result"] for one in found] == ["completed"] * codes.count(200)
                paid = sum(one["cost_usd"] for one in found if one["key_id"])
                assert (await windows(url))["budget:month"] == (paid, 0)
                await assert_sums_agree(url)
        finally:
            await asyncio.to_thread(server.stop)


async def _nothing_held(database_url: str) -> bool:
    return await rows(database_url, "SELECT * FROM llm.reservations") == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_what_waits_on_disk_is_replayed_by_the_next_process(
    database_url: str, sim: OpenAISimulator, tmp_path: Path, number: signal.Signals
) -> None:
    directory = tmp_path / ".synapscale"
    async with replicas(1, tmp_path, sim, database_url) as (doomed,), outage(database_url):
        assert [await ask(doomed, bearer()) for _ in range(20)] == [200] * 20

        async def on_disk() -> bool:
            return lines_of(directory) == 20

        await eventually(on_disk, what="all rows are on disk", within=5)
        await doomed.end(number)
    async with replicas(2, tmp_path, sim, database_url):
        await written(database_url, 20)

        async def none_left() -> bool:
            return files_of(directory) == []

        await eventually(none_left, what="the file is gone", within=5)
    assert await count(database_url) == 20
    await assert_sums_agree(database_url)
