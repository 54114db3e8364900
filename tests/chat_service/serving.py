"""Apps on real sockets, and chat-service as a process of its own."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2
import uvicorn
from fastapi import FastAPI

from tests.chat_service.api import ChatApi, eventually

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The address of `app`, served from this process."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await eventually(lambda: _is(server.started), what="the server starts")
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def _is(condition: bool) -> bool:
    return condition


class ServiceProcess:
    """`python -m shared.server chat_service.main:app`, to be ended in whatever way the test wants."""

    def __init__(self, process: asyncio.subprocess.Process, client: httpx2.AsyncClient) -> None:
        self.process = process
        self.client = client

    def api(self, *, user_id: str) -> ChatApi:
        return ChatApi(self.client, user_id=user_id)

    async def end(self, number: signal.Signals) -> int:
        """Sends the signal; returns the exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 10)


@asynccontextmanager
async def service_process(module: str, directory: Path, **settings: str) -> AsyncIterator[ServiceProcess]:
    """A replica in a process of its own; `settings` without their prefix. It is killed where it still runs."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    variables = {f"SYNAPSCALE_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared.server", f"{module}:app", "--port", str(port),
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables},
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await eventually(lambda: is_healthy(client), what=f"{module} is healthy", within=30)
            yield ServiceProcess(process, client)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def chat_process(directory: Path, **settings: str) -> AbstractAsyncContextManager[ServiceProcess]:
    return service_process("chat_service.main", directory, **settings)


async def is_healthy(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).status_code == 200
    except httpx2.TransportError:
        return False
