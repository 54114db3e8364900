"""A database that takes connections and statements, and answers none: worse than one that is away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.chat_service.serving import ServiceProcess
from tests.llm_service.accounts.books import assert_sums_agree
from tests.llm_service.accounts.test_processes import ask, count, replicas, written
from tests.simulators.openai import OpenAISimulator
from tests.tokens import bearer

BURST, AT_A_TIME = 200, 20
"""Requests."""


class Stalling:
    """A way to a server on which nothing moves while `moving` is not set."""

    def __init__(self, host: str, port: int) -> None:
        self.moving = asyncio.Event()
        self.moving.set()
        self._to = host, port
        self._pumps: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = (
            await asyncio.open_unix_connection(f"{self._to[0]}/.s.PGSQL.{self._to[1]}")
            if self._to[0].startswith("/")
            else await asyncio.open_connection(*self._to)
        )
        both = (self._pump(reader, server_writer), self._pump(server_reader, writer))
        self._pumps |= {asyncio.create_task(one) for one in both}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while received := await reader.read(65_536):
                await self.moving.wait()
                writer.write(received)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)


@asynccontextmanager
async def stalling(database_url: str) -> AsyncIterator[tuple[str, Stalling]]:
    """The database's address by way of it."""
    url = make_url(database_url)
    host = url.host or str(url.query["host"])
    between = Stalling(host, url.port or 5432)
    async with await asyncio.start_server(between.accept, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        by_way = url.set(host="127.0.0.1", port=port, query={})
        try:
            yield by_way.render_as_string(hide_password=False), between
        finally:
            await between.close()


async def burst(process: ServiceProcess) -> float:
    """Seconds that one request in a hundred took, or more. None may fail."""
    places = asyncio.Semaphore(AT_A_TIME)
    took: list[float] = []

    async def one() -> None:
        async with places:
            started = time.perf_counter()
            assert await ask(process, headers) == 200
            took.append(time.perf_counter() - started)

    headers = bearer()
    await asyncio.gather(*(one() for _ in range(BURST)))
    return sorted(took)[int(BURST * 0.99)]


@pytest.fixture
async def sim() -> AsyncIterator[OpenAISimulator]:
    async with OpenAISimulator() as simulator:
        yield simulator


async def test_completions_do_not_wait_for_the_database_and_none_is_forgotten(
    database_url: str, sim: OpenAISimulator, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        by_way, between = await stack.enter_async_context(stalling(database_url))
        (process,) = await stack.enter_async_context(replicas(1, tmp_path, sim, by_way))
        await burst(process)  # what is done once is done
        usual = await burst(process)
        await written(database_url, 2 * BURST)
        between.moving.clear()
        stalled = await burst(process)
        assert await count(database_url) <= 2 * BURST + BURST // 10, "the database did stand still"
        between.moving.set()
        await written(database_url, 3 * BURST, within=40)
    assert await count(database_url) == 3 * BURST
    await assert_sums_agree(database_url)
    assert stalled < 3 * usual + 0.5, f"{stalled:.3f} s, usually {usual:.3f} s"
