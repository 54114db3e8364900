"""A real PostgreSQL for every test that asks for one: a clone of a migrated template, made in milliseconds."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import URL, make_url

from launcher.postgres import EmbeddedPostgres
from migrations.run import upgrade
from shared.database import Sessions, database
from shared.ids import uuid7_hex
from tests.leaks import pytest_runtest_makereport  # noqa: F401 # a hook of every test: what services log in this process


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """The server: the one of SYNAPSCALE_TEST_DATABASE_URL, or an embedded one for this run."""
    if configured := os.environ.get("SYNAPSCALE_TEST_DATABASE_URL"):
        yield make_url(configured).set(drivername="postgresql+asyncpg")
        return
    with tempfile.TemporaryDirectory(prefix="syn-") as directory:
        os.chmod(directory, 0o711)  # PostgreSQL has a user of its own where the tests run as root
        server = EmbeddedPostgres(Path(directory) / "data")
        try:
            yield make_url(server.start())
        finally:
            server.stop()


@pytest.fixture(scope="session")
def template(postgres: URL) -> Iterator[URL]:
    """A migrated database to which nobody is connected."""
    url = postgres.set(database=f"template_{uuid7_hex()}")
    asyncio.run(execute(postgres, f'CREATE DATABASE "{url.database}"'))
    upgrade(url.render_as_string(hide_password=False))
    yield url
    asyncio.run(execute(postgres, f'DROP DATABASE "{url.database}" WITH (FORCE)'))


@pytest.fixture
async def database_url(postgres: URL, template: URL) -> AsyncIterator[str]:
    """The address of a migrated database of the test's own."""
    name = f"test_{uuid7_hex()}"
    await execute(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{template.database}" STRATEGY FILE_COPY')
    yield postgres.set(database=name).render_as_string(hide_password=False)
    await execute(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def empty_database_url(postgres: URL) -> AsyncIterator[str]:
    """The address of a database without a table, of the test's own."""
    name = f"test_{uuid7_hex()}"
    await execute(postgres, f'CREATE DATABASE "{name}"')
    yield postgres.set(database=name).render_as_string(hide_password=False)
    await execute(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    async with database(database_url) as opened:
        yield opened


async def execute(server: URL, statement: str) -> None:
    plain = server.set(drivername="postgresql", database="postgres")
    connection = await asyncpg.connect(plain.render_as_string(hide_password=False))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
