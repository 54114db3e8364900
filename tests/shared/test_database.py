"""What callers see of a database that fails them, and of their own leaving."""

import asyncio

import pytest
from sqlalchemy import text

from shared.database import Sessions


async def test_a_cancelled_query_is_a_cancellation_and_no_outage(sessions: Sessions) -> None:
    asked = asyncio.Event()

    async def ask() -> None:
        async with sessions() as session:
            await session.execute(text("SELECT 1"))
            asked.set()
            await session.execute(text("SELECT pg_sleep(60)"))

    asking = asyncio.create_task(ask())
    await asked.wait()
    await asyncio.sleep(0)  # into the second statement
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with sessions() as session:
        assert await session.scalar(text("SELECT 1")) == 1
