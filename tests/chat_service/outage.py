"""A database that goes away and comes back, as its clients see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine


@asynccontextmanager
async def outage(database_url: str) -> AsyncIterator[None]:
    """Inside, every connection to the database is broken and no new one is let in."""
    url = make_url(database_url)
    name = url.database
    server = create_async_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    try:
        async with server.connect() as admin:
            await admin.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
            try:
                kill = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
                await admin.execute(kill, {"name": name})
                yield
            finally:
                await admin.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
    finally:
        await server.dispose()
