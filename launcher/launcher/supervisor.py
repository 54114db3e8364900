"""`synapscale up --processes`: a process per service, the gateway in front, and this one to look after them."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import httpx2

from launcher.child import Child
from launcher.claim import claimed
from launcher.environment import as_variables, completed, database
from launcher.migrating import migrate
from launcher.ports import free_ports_after, listen
from launcher.preflight import check
from launcher.settings import Settings
from launcher.signals import ignore_further_requests, raise_when_asked_to_stop
from launcher.welcome import address, next_steps
from shared.logs import configure_logs
from shared.upstreams import NAMES

HEAD_START = 0.2
"""Seconds in which the gateway stops accepting, before the services behind it are told to end."""
PATIENCE = 3.6
"""Seconds until children that have not ended by themselves are killed."""


def serve(settings: Settings) -> None:
    """Returns when the platform was asked to stop, and has. Raises CannotStart."""
    raise_when_asked_to_stop()
    with claimed(settings.data_dir, owner=os.getpid()), database(settings) as database_url:
        listen(settings.host, settings.port).close()  # the gateway will; a taken port should be known now
        told = completed(settings, database_url=database_url())
        configure_logs(level=settings.log_level, style=told["log_format"])
        migrate(told["database_url"])
        check(told)
        try:
            asyncio.run(_look_after(_children(settings, as_variables(told)), settings))
        finally:
            ignore_further_requests()


def _children(settings: Settings, told: dict[str, str]) -> list[Child]:
    """The gateway first."""
    ports = dict(zip(NAMES, free_ports_after(settings.port, count=len(NAMES)), strict=True))
    addresses = {f"SYNAPSCALE_{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in ports.items()}
    environment = {**os.environ, **told, **addresses}

    def child(name: str, package: str, *, host: str, port: int) -> Child:
        module = [sys.executable, "-m", "shared.server", f"{package}.main:app"]
        command = [*module, "--host", host, "--port", str(port), "--exit-with-parent"]
        return Child(name, command=command, environment=environment, host=host, port=port)

    return [
        child("gateway", "api_gateway", host=settings.host, port=settings.port),
        *(child(name, f"{name}_service", host="127.0.0.1", port=port) for name, port in ports.items()),
    ]


async def _look_after(children: Sequence[Child], settings: Settings) -> None:
    asked = asyncio.Event()

    def stop() -> None:
        if asked.is_set():  # for the second time: whoever asks has no patience left
            for child in children:
                child.kill()
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    running = [asyncio.create_task(child.keep_running()) for child in children]
    telling = asyncio.create_task(_tell_when_healthy(settings))
    asking = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({asking, *running}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        telling.cancel()
        asking.cancel()
        await _stop(children, running)
    await asyncio.gather(*running)  # raises what kept a child from being started at all


async def _stop(children: Sequence[Child], running: Sequence[asyncio.Task[None]]) -> None:
    gateway, *services = children
    gateway.stop()
    await asyncio.sleep(HEAD_START)
    for child in services:
        child.stop()
    _, late = await asyncio.wait(running, timeout=PATIENCE)
    if late:
        for child in children:
            child.kill()
        await asyncio.wait(late)


async def _tell_when_healthy(settings: Settings) -> None:
    async with httpx2.AsyncClient(base_url=address(settings), trust_env=False, timeout=2) as gateway:
        while not await _is_healthy(gateway):  # noqa: ASYNC110 # another process sets no event of ours
            await asyncio.sleep(0.1)
    print(next_steps(settings), flush=True)


async def _is_healthy(gateway: httpx2.AsyncClient) -> bool:
    try:
        return bool((await gateway.get("/health")).json()["status"] == "ok")
    except (httpx2.HTTPError, ValueError, KeyError):
        return False
