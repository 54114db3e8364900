"""Answers are kept for 24 hours; then they are deleted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from shared.database import Sessions
from shared.idempotency.repository import Table, delete_expired

log = structlog.get_logger(__name__)

EVERY = 600.0
"""Seconds."""
AT_ONCE = 500
"""Rows of one transaction, so that it stays short."""


@asynccontextmanager
async def forgetting(sessions: Sessions, table: Table) -> AsyncIterator[None]:
    """Deletes what has expired, every ten minutes, for as long as it is entered."""
    task = asyncio.create_task(_keep_forgetting(sessions, table))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def forget(sessions: Sessions, table: Table) -> int:
    """One pass; returns how many answers it deleted."""
    deleted = 0
    while True:
        async with sessions.begin() as session:
            batch = await delete_expired(session, table, limit=AT_ONCE)
        deleted += batch
        if batch < AT_ONCE:
            return deleted


async def _keep_forgetting(sessions: Sessions, table: Table) -> None:
    while True:
        await asyncio.sleep(EVERY)
        try:
            await forget(sessions, table)
        except Exception as error:  # the database may be away; the next pass does what this one could not
            log.warning("expired answers not deleted", error=repr(error))
