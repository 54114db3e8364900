"""A database that goes away and comes back, as its clients see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine


@asynccontextmanager
async def server_of(database_url: str | URL) -> AsyncIterator[AsyncConnection]:
    """A connection to the server that holds the database, but not to the database itself."""
    url = make_url(database_url).set(database="postgres")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@asynccontextmanager
async def outage(database_url: str) -> AsyncIterator[None]:
    """Inside, every connection to the database is broken and no new one is let in."""
    name = make_url(database_url).database
    async with server_of(database_url) as server:
        await server.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        try:
            kill = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
            await server.execute(kill, {"name": name})
            yield
        finally:
            await server.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
