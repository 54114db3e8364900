"""What a replica does besides: looks for new signing keys, throws away what has expired."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from auth_service.keys import service as keys
from auth_service.keys.repository import delete_retired_signing_keys
from auth_service.keys.service import KeyRing
from auth_service.sessions.repository import delete_expired_sessions
from shared.database import Sessions

log = structlog.get_logger(__name__)

CLEAN_EVERY = 300.0
"""Seconds."""
BATCH = 1000
"""Sessions that one pass deletes: others wait neither for its locks nor for its commit."""
PASS_TIMEOUT = 20.0
"""Seconds after which a pass gives up on a database that does not answer."""


@asynccontextmanager
async def keeping(ring: KeyRing, *, sessions: Sessions) -> AsyncIterator[None]:
    async def clean() -> None:
        async with sessions.begin() as session:
            await delete_retired_signing_keys(session, after=keys.KEPT_AFTER)
        while await _delete_expired(sessions) == BATCH:
            pass

    tasks = [
        asyncio.create_task(_repeat(ring.load, every=keys.RELOAD_EVERY)),
        asyncio.create_task(_repeat(clean, every=CLEAN_EVERY)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _delete_expired(sessions: Sessions) -> int:
    async with sessions.begin() as session:
        return await delete_expired_sessions(session, at_most=BATCH)


async def _repeat(work: Callable[[], Awaitable[None]], *, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            async with asyncio.timeout(PASS_TIMEOUT):
                await work()
        except Exception as error:  # the database may be away; the next pass does what this one could not
            log.warning("pass failed", work=work.__name__, error=repr(error))
