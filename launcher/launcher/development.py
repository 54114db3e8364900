"""The whole platform behind `uvicorn api-gateway.main:app --reload`, with nothing else running."""

import asyncio
import multiprocessing
import os
import traceback
from contextlib import ExitStack

import psutil
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from launcher.claim import claimed
from launcher.environment import completed, database
from launcher.errors import CannotStart, mistakes_in
from launcher.settings import Settings
from launcher.welcome import next_steps

LONGEST_START = 10.0
"""Seconds after its services within which uvicorn should listen."""


class DevelopmentPlatform:
    """Prepares what the services need when its lifespan starts; then it is the gateway."""

    def __init__(self) -> None:
        self._gateway: FastAPI | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            assert self._gateway is not None, "uvicorn serves only after the lifespan has started"
            await self._gateway(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as until_the_end:
            try:
                self._gateway = await _prepare(until_the_end)
            except Exception as error:  # left to itself, uvicorn would go on and serve without a lifespan
                await send({"type": "lifespan.startup.failed", "message": _told(error)})
                return
            await self._gateway(scope, receive, send)


async def _prepare(until_the_end: ExitStack) -> FastAPI:
    settings = Settings()
    reloader = multiprocessing.parent_process()
    owner = reloader.pid if reloader else None
    reloaded = until_the_end.enter_context(claimed(settings.data_dir, owner=owner or os.getpid()))
    database_url = until_the_end.enter_context(database(settings, owner=owner))

    from launcher.migrating import migrate
    from launcher.preflight import check
    from launcher.standalone import create_platform

    told = completed(settings, database_url=database_url())
    await asyncio.to_thread(migrate, told["database_url"])
    await asyncio.to_thread(check, told)
    if not reloaded:
        telling = asyncio.create_task(_tell_when_listening(settings))
        until_the_end.callback(telling.cancel)
    return create_platform(**told)


async def _tell_when_listening(settings: Settings) -> None:
    """An app is not told where it is served, so it looks."""
    async with asyncio.timeout(LONGEST_START):
        while not (own := _listening()):  # noqa: ASYNC110 # uvicorn sets no event
            await asyncio.sleep(0.05)
    host, port = own[0]
    print(next_steps(settings.model_copy(update={"host": host, "port": port})), flush=True)


def _listening() -> list[tuple[str, int]]:
    connections = psutil.Process().net_connections("tcp")
    return [(one.laddr.ip, one.laddr.port) for one in connections if one.status == psutil.CONN_LISTEN and one.laddr]


def _told(error: Exception) -> str:
    match error:
        case CannotStart():
            return str(error)
        case ValidationError():
            return mistakes_in(error)
        case _:
            return "".join(traceback.format_exception(error))


app = DevelopmentPlatform()
