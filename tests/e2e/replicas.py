"""Services in several processes, as in production, and what stands in for those that do not matter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from tests.auth_service.conftest import ADMIN_PASSWORD
from tests.chat_service.serving import ServiceProcess, service_process
from tests.serving import served
from tests.tokens import SECRET, auth_stub


class RoundRobin:
    """One address for several: each new connection goes to the next. `requests` counts those to a path, by address."""

    def __init__(self, *urls: str, counting: str) -> None:
        self._targets = [httpx2.URL(url) for url in urls]
        self._counting = b" " + counting.encode() + b" HTTP/1.1\r\n"
        self._connections = 0
        self.requests = [0] * len(urls)

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self._connections % len(self._targets)
        self._connections += 1
        target = self._targets[number]
        try:
            their_reader, their_writer = await asyncio.open_connection(target.host, target.port)
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, their_writer, number), self._pass(their_reader, writer, number))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            while piece := await reader.read(65536):
                self.requests[number] += self._counting in piece
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def in_turn(*urls: str, counting: str) -> AsyncIterator[tuple[str, RoundRobin]]:
    balancer = RoundRobin(*urls, counting=counting)
    async with await asyncio.start_server(balancer.connect, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", balancer
        listening.close()


def url_of(service: ServiceProcess) -> str:
    return str(service.client.base_url)


@asynccontextmanager
async def auth_replicas(count: int, directory: Path, *, database_url: str) -> AsyncIterator[list[ServiceProcess]]:
    settings = {"secret_key": SECRET, "admin_password": ADMIN_PASSWORD, "database_url": database_url}
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(service_process("auth_service.main", directory, **settings))
            for _ in range(count)
        ]


@asynccontextmanager
async def gateways(
    count: int, directory: Path, *, url: str, **settings: str
) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """Clients of so many gateway processes, all of whose services answer at `url`."""
    common = {"secret_key": SECRET, **{f"{name}_url": url for name in ("auth", "llm", "chat")}}
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(service_process("api_gateway.main", directory, **common, **settings))
            for _ in range(count)
        ]
        for each in opened:
            each.client.timeout = httpx2.Timeout(30)
        yield [each.client for each in opened]


@asynccontextmanager
async def services_that_are_well() -> AsyncIterator[str]:
    """The address of a stand-in for all of them."""
    app: FastAPI = auth_stub().app

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "version": "1"}

    @app.get("/api/llm/mirror")
    async def mirror() -> dict[str, Any]:
        return {}

    async with served(app) as url:
        yield url
