"""Many clients leave, each when it likes: nothing of them is left behind."""

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.llm_service.serving import asking, listening
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.mistral import MistralSimulator
from tests.simulators.openai import OpenAISimulator
from tests.simulators.provider import Provider

STREAMS = 1000
AT_ONCE = 100
SETTLED = 5.0
"""Seconds in which all must be as it was."""
PATIENCE = 0.2
"""Seconds, at most, after which a client leaves: an answer takes longer."""
KINDS: tuple[tuple[str, type[Provider], str], ...] = (
    ("openai", OpenAISimulator, "gpt-4o"),
    ("anthropic", AnthropicSimulator, "claude-sonnet-4-5"),
    ("gemini", GeminiSimulator, "gemini-2.5-flash"),
    ("mistral", MistralSimulator, "mistral-large-latest"),
)


def sockets() -> int:
    """Of this process: the service's, the simulators' and the clients'."""
    return sum(1 for one in psutil.Process().net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED)


def tasks() -> int:
    return sum(not task.done() for task in asyncio.all_tasks())


async def nothing_reserved() -> bool:
    """Where reservations are looked at, once requests make some: as many as before, which is none."""
    return True


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


async def settles(settled: Callable[[], Awaitable[bool]]) -> bool:
    """Whether it comes to be within SETTLED seconds."""
    async with asyncio.timeout(SETTLED):
        while not await settled():  # noqa: ASYNC110 # nobody tells when a socket has gone
            await asyncio.sleep(0.02)
    return True


@pytest.mark.parametrize(("name", "kind", "model"), KINDS)
async def test_streams_cancelled_at_random_leave_no_task_socket_or_reservation(
    name: str, kind: type[Provider], model: str, tmp_path: Path
) -> None:
    chance = random.Random(4)  # the same test every time
    async with kind() as sim:
        address = sim.base_url + ("/v1beta" if name == "gemini" else "")
        row = {"type": name, "base_url": address, "api_key": sim.api_key, "models": [model]}
        async with listening(tmp_path, {name: row}) as llm:
            paths = ("/v1/chat/completions", "/api/llm/chat/completions", "/v1/messages")
            body = asking("Count to 60", model=f"{name}/{model}", stream=True, max_tokens=500)
            for path in paths:  # what is made once, for the first request, is no leak
                assert (await llm.post(path, json=body)).status_code == 200
            sim.pace = 0.01
            gc.collect()
            before = tasks(), sockets()
            turns = asyncio.Semaphore(AT_ONCE)

            async def one() -> bool:
                async with turns:
                    return await leaves(llm, chance.choice(paths), body, chance)

            left = await asyncio.gather(*(one() for _ in range(STREAMS // len(KINDS))))
            assert all(left)

            async def as_before() -> bool:
                return tasks() <= before[0] and sockets() <= before[1] and await nothing_reserved()

            assert await settles(as_before), (before, (tasks(), sockets()))
            asked = [request for request in sim.requests if request.method == "POST"]
            assert all(request.disconnected.is_set() or request.answered.is_set() for request in asked)
            sim.pace = 0
            assert (await llm.post(paths[0], json=body)).status_code == 200
