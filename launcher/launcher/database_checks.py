"""What `synapscale doctor` looks at in the database, whichever is configured."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from launcher.checks import Finding, nearest_existing
from launcher.errors import CannotStart
from launcher.postgres import VERSION, binaries
from launcher.settings import Settings
from shared.database import create_engine

OLDEST_VERSION = 15


def database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None:
        yield embedded(settings.data_dir)
    else:
        yield configured(settings.database_url)


def embedded(data_dir: Path) -> Finding:
    """Whether it could start: its programs, its directory, its version."""
    try:
        command = [str(binaries() / "postgres"), "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (CannotStart, OSError, subprocess.CalledProcessError) as error:
        mend = "Install SynapScale again, or set SYNAPSCALE_DATABASE_URL to a PostgreSQL of your own."
        return Finding("database", f"the embedded PostgreSQL does not run here: {error}", mend)
    place = nearest_existing(data_dir)
    if not os.access(place, os.W_OK | os.X_OK):
        mend = "Give it to this user (chown), or set SYNAPSCALE_DATA_DIR to another directory."
        return Finding("database", f"{place} cannot be written to", mend)
    written = data_dir / "postgres" / "PG_VERSION"
    made_by = written.read_text().strip() if written.exists() else VERSION
    if made_by != VERSION:
        mend = "Dump it with that version and load it again, or set SYNAPSCALE_DATA_DIR to a new directory."
        return Finding("database", f"{data_dir} was made by PostgreSQL {made_by}, and this is {VERSION}", mend)
    return Finding("database", f"embedded {version} in {data_dir}")


def configured(url: str) -> Finding:
    """Whether it answers, is new enough, and is up to date."""
    place = make_url(url).render_as_string(hide_password=True)
    try:
        version, revision = asyncio.run(_version_and_revision(url))
    except (OSError, SQLAlchemyError) as error:
        mend = "Start it or correct SYNAPSCALE_DATABASE_URL; without that variable, development brings its own."
        return Finding("database", f"{place} does not answer: {getattr(error, 'orig', error)}", mend)
    if version < OLDEST_VERSION:
        mend = f"Use PostgreSQL {OLDEST_VERSION} or newer."
        return Finding("database", f"{place} is PostgreSQL {version}", mend)
    if revision != _newest_revision(url):
        mend = "synapscale migrate (which `synapscale up` does by itself)"
        return Finding("database", f"{place} is not up to date: it is at revision {revision or 'none'}", mend)
    return Finding("database", f"{place} is PostgreSQL {version}, and up to date")


async def _version_and_revision(url: str) -> tuple[int, str | None]:
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.connect() as connection:
            version = (await connection.execute(text("SHOW server_version_num"))).scalar_one()
            revision = None
            if (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar_one() is not None:
                revision = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
            return int(version) // 10000, revision
    finally:
        await engine.dispose()


def _newest_revision(url: str) -> str | None:
    from alembic.script import ScriptDirectory

    from migrations.run import configuration

    return ScriptDirectory.from_config(configuration(url)).get_current_head()
