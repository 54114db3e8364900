"""Many clients leave, each when it likes: nothing of them is left behind."""

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.llm_service.accounts.books import budget, limited, requests, rows, windows
from tests.llm_service.serving import asking, listening
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.mistral import MistralSimulator
from tests.simulators.openai import OpenAISimulator
from tests.simulators.provider import Provider

STREAMS = 1000
AT_ONCE = 100
SETTLED = 20.0
"""Seconds in which all must be as it was."""
PATIENCE = 0.2
"""Seconds, at most, after which a client leaves: an answer takes longer."""
KINDS: tuple[tuple[str, type[Provider], str], ...] = (
    ("openai", OpenAISimulator, "gpt-4o"),
    ("anthropic", AnthropicSimulator, "claude-sonnet-4-5"),
    ("gemini", GeminiSimulator, "gemini-2.5-flash"),
    ("mistral", MistralSimulator, "mistral-large-latest"),
)


def answered(sim: Provider) -> int:
    """Requests that got all of their answer, before their client left."""
    return sum(one.answered.is_set() and not one.disconnected.is_set() for one in sim.requests)


def sockets(port: int) -> int:
    """Both ends of all connections to that port."""
    return sum(
        port in {place.port for place in (one.laddr, one.raddr) if place}
        for one in psutil.Process().net_connections("tcp")
        if one.status not in (psutil.CONN_LISTEN, psutil.CONN_TIME_WAIT)
    )


def tasks() -> int:
    return sum(not task.done() for task in asyncio.all_tasks())


async def leaves(llm: httpx2.AsyncClient, path: str, body: dict[str, object], chance: random.Random) -> bool:
    """Whether the client left before the answer was complete: after a time, or after some of it."""
    patience, wanted = chance.uniform(0, PATIENCE), chance.choice((None, 1, 200, 600))
    try:
        async with asyncio.timeout(patience), llm.stream("POST", path, json=body) as answer:
            read = 0
            async for piece in answer.aiter_bytes():
                read += len(piece)
                if wanted is not None and read >= wanted:
                    return True
            return False
    except TimeoutError:
        return True


async def settled(left_behind: Callable[[], Awaitable[dict[str, int]]]) -> dict[str, int]:
    """What is still there after SETTLED seconds; nothing, as soon as nothing is."""
    deadline = time.monotonic() + SETTLED
    while (found := await left_behind()) and time.monotonic() < deadline:  # noqa: ASYNC110 # sockets go silently
        await asyncio.sleep(0.05)
    return found


async def all_is_charged(database_url: str) -> bool:
    """Nothing is held of the budget, and what is spent of it is what the ledger has."""
    spent, reserved = (await windows(database_url))["budget:month"]
    charged = sum(one["cost_usd"] for one in await requests(database_url))
    return bool(reserved == 0 and spent == charged)


@pytest.mark.parametrize(("name", "kind", "model"), KINDS)
async def test_streams_cancelled_at_random_leave_no_task_socket_or_reservation(
    name: str, kind: type[Provider], model: str, database_url: str, tmp_path: Path
) -> None:
    chance = random.Random(4)  # the same test every time
    async with kind() as sim:
        address = sim.base_url + ("/v1beta" if name == "gemini" else "")
        row = {"type": name, "base_url": address, "api_key": sim.api_key, "models": [model]}
        prices = {model: {"prices": {"input": 1, "output": 2}}}
        async with listening(tmp_path, {name: row}, models=prices, database_url=database_url) as llm:
            llm.headers.update(limited(budget=budget("1000"), concurrent_requests=2 * AT_ONCE))
            door = llm.base_url.port or 0
            paths = ("/v1/chat/completions", "/api/llm/chat/completions", "/v1/messages")
            body = asking("Count to 60", model=f"{name}/{model}", stream=True, max_tokens=500)
            for path in paths:  # what is made once, for the first request, is no leak
                assert (await llm.post(path, json=body)).status_code == 200
            sim.pace = 0.01
            sim.requests.clear()
            gc.collect()
            before = tasks(), sockets(sim.port)
            turns = asyncio.Semaphore(AT_ONCE)

            async def one() -> bool:
                async with turns:
                    return await leaves(llm, chance.choice(paths), body, chance)

            left = await asyncio.gather(*(one() for _ in range(STREAMS // len(KINDS))))
            assert all(left)

            async def left_behind() -> dict[str, int]:
                held = len(await rows(database_url, "SELECT * FROM llm.reservations"))
                provider = sockets(sim.port) - before[1] - 2 * answered(sim)  # those are kept for the next request
                now = {"tasks": tasks() - before[0], "clients": sockets(door), "provider": provider, "held": held}
                return {what: number for what, number in now.items() if number > 0}

            assert await settled(left_behind) == {}
            asked = [request for request in sim.requests if request.method == "POST"]
            assert all(request.disconnected.is_set() or request.answered.is_set() for request in asked)
            assert await all_is_charged(database_url)
            sim.pace = 0
            assert (await llm.post(paths[0], json=body)).status_code == 200
