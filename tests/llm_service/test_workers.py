"""Several workers on one host before a provider that is down: each judges by itself, and together they do no harm."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import yaml

from llm_service.routing.breaker import FAILURES, JITTER, SHORTEST_PAUSE
from tests.chat_service.serving import ServiceProcess, service_process
from tests.llm_service.serving import NO_DATABASE, SURFACES, asking, row
from tests.serving import served
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator
from tests.tokens import SECRET, auth_stub, bearer

WORKERS = 2


async def provider_of(worker: ServiceProcess) -> str:
    """Who answered."""
    answer = await worker.client.post(SURFACES[0], json=asking(), headers=bearer(), timeout=30)
    assert answer.status_code == 200
    return answer.headers["x-synapscale-provider"]


def asks(sim: OpenAISimulator) -> int:
    return sum(request.method == "POST" for request in sim.requests)


async def test_a_dead_provider_is_left_alone_by_every_worker_and_found_again_by_every_worker(tmp_path: Path) -> None:
    config = tmp_path / "llm.yaml"
    async with AsyncExitStack() as stack:
        down, good = [await stack.enter_async_context(OpenAISimulator()) for _ in range(2)]
        config.write_text(yaml.safe_dump({"providers": {"down": row(down), "good": row(good)}}))
        auth_url = await stack.enter_async_context(served(auth_stub().app))
        given = {"llm_config": str(config), "database_url": NO_DATABASE, "secret_key": SECRET, "auth_url": auth_url}
        workers = await asyncio.gather(
            *(
                stack.enter_async_context(service_process("llm_service.main", tmp_path, **given, log_level="error"))
                for _ in range(WORKERS)
            )
        )

        async def one_by_one(worker: ServiceProcess, number: int) -> set[str]:
            return {await provider_of(worker) for _ in range(number)}

        down.will_fail(*[Fault("status", status=500)] * 1000)
        started = time.monotonic()
        assert await asyncio.gather(*(one_by_one(worker, 30) for worker in workers)) == [{"good"}] * WORKERS
        pauses = int((time.monotonic() - started) / (SHORTEST_PAUSE * (1 - JITTER)))  # none, unless the machine is slow
        known = asks(down)
        assert WORKERS * FAILURES <= known <= WORKERS * (FAILURES + pauses), "as many as each needs to know"

        down.faults.clear()
        probes = down.hold(after=0)
        waiting: set[asyncio.Task[str]] = set()
        async with asyncio.timeout(SHORTEST_PAUSE * (1 + JITTER) + 10):
            while probes.held < WORKERS:
                waiting |= {asyncio.create_task(provider_of(worker)) for worker in workers for _ in range(3)}
                done, waiting = await asyncio.wait(waiting, timeout=0.1)
                assert {task.result() for task in done} <= {"good"}
        assert asks(down) == known + WORKERS, "one of each, however many ask meanwhile"

        probes.release()
        assert "down" in await asyncio.gather(*waiting)
        assert await asyncio.gather(*(one_by_one(worker, 5) for worker in workers)) == [{"down"}] * WORKERS
