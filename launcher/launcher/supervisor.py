"""`synapscale up --processes`: a process per service, the gateway in front, and this one to look after them."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence

from launcher.child import Child
from launcher.claim import claimed
from launcher.environment import as_variables, completed, database, log_format
from launcher.ports import free_ports_after, listen
from launcher.settings import Settings
from launcher.signals import ignore_further_requests, raise_when_asked_to_stop
from shared.logs import configure_logs
from shared.settings import SERVICES

HEAD_START = 0.2
"""Seconds in which the gateway stops accepting, before the services behind it are told to end."""
PATIENCE = 3.6
"""Seconds until children that have not ended by themselves are killed."""


def serve(settings: Settings) -> None:
    """Returns when the platform was asked to stop, and has. Raises CannotStart."""
    raise_when_asked_to_stop()
    with claimed(settings.data_dir, owner=os.getpid()), database(settings) as database_url:
        listen(settings.host, settings.port).close()  # the gateway will; a taken port should be known now
        configure_logs(level=settings.log_level, style=log_format(settings))
        try:
            asyncio.run(_look_after(_children(settings), settings, database_url))
        finally:
            ignore_further_requests()


def _prepared(settings: Settings, database_url: Callable[[], str]) -> dict[str, str]:
    """What the children are told once the database is up to date. Raises CannotStart."""
    # These imports take as long as PostgreSQL takes to start, and the children's own.
    from launcher.migrating import migrate
    from launcher.preflight import check

    told = completed(settings, database_url=database_url())
    migrate(told["database_url"])
    check(told)
    return as_variables(told)


def _children(settings: Settings) -> list[Child]:
    """The gateway first."""
    ports = dict(zip(SERVICES, free_ports_after(settings.port, count=len(SERVICES)), strict=True))
    addresses = {f"SYNAPSCALE_{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in ports.items()}
    environment = {**os.environ, **addresses}

    def child(name: str, package: str, *, host: str, port: int) -> Child:
        module = [sys.executable, "-m", "shared.server", f"{package}.main:app"]
        command = [*module, "--host", host, "--port", str(port), "--told-by-parent", "--exit-with-parent"]
        return Child(name, command=command, environment=environment, host=host, port=port)

    return [
        child("gateway", "api_gateway", host=settings.host, port=settings.port),
        *(child(name, f"{name}_service", host="127.0.0.1", port=port) for name, port in ports.items()),
    ]


async def _look_after(children: Sequence[Child], settings: Settings, database_url: Callable[[], str]) -> None:
    asked = asyncio.Event()

    def stop() -> None:
        if asked.is_set():  # for the second time: whoever asks has no patience left
            for child in children:
                child.kill()
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    running = [asyncio.create_task(child.keep_running()) for child in children]
    starting = asyncio.create_task(_start(children, settings, database_url))
    asking = asyncio.create_task(asked.wait())
    ends = {asking, *running}
    try:
        await asyncio.wait({starting, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            telling = starting.result()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            telling.cancel()
    finally:
        starting.cancel()
        asking.cancel()
        await _stop(children, running)
    await asyncio.gather(*running)  # raises what kept a child from being started at all


async def _start(children: Sequence[Child], settings: Settings, database_url: Callable[[], str]) -> asyncio.Task[None]:
    """Returns what will tell when they are healthy. Raises CannotStart."""
    told = await asyncio.to_thread(_prepared, settings, database_url)
    for child in children:
        child.tell(told)
    from launcher.readiness import tell_when_healthy  # not above: the children can be started before it is imported

    return asyncio.create_task(tell_when_healthy(settings))


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
