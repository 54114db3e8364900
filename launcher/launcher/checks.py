"""What `synapscale doctor` looks at. Each check starts nothing, changes nothing, and says how to mend what it finds."""

import asyncio
import difflib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import api_gateway.settings
import auth_service.settings
import chat_service.settings
import llm_service.settings
import psutil
from dotenv import dotenv_values
from llm_service.config import ConfigError, load_config
from sqlalchemy import text

from launcher.claim import holder
from launcher.errors import CannotStart
from launcher.ports import is_free
from launcher.postgres import VERSION, binaries
from launcher.settings import Settings
from shared.database import create_engine

OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 15
NEEDED_DISK = 1 << 30
NEEDED_MEMORY = 512 << 20
"""Bytes; one process with PostgreSQL takes about half of it."""

ALL_SETTINGS = (
    Settings,
    api_gateway.settings.Settings,
    auth_service.settings.Settings,
    chat_service.settings.Settings,
    llm_service.settings.Settings,
)


@dataclass(frozen=True)
class Finding:
    """`mend` says what to do about it, and is there if something would not work."""

    what: str
    told: str
    mend: str | None = None


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, OLDEST_PYTHON))
    old = sys.version_info < OLDEST_PYTHON
    yield Finding("python", version, f"Install Python {wanted} or newer, and make .venv again." if old else None)


def dotenv(path: Path = Path(".env")) -> Iterator[Finding]:
    """A misspelt name would be ignored without a word."""
    if not path.exists():
        yield Finding(".env", "there is none; the defaults and the environment count")
        return
    try:
        written = dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        yield Finding(".env", f"cannot be read: {error}", "Make it a text file in UTF-8 that you may read.")
        return
    known = {f"SYNAPSCALE_{field}".upper() for settings in ALL_SETTINGS for field in settings.model_fields}
    unknown = [name for name in written if name.upper().startswith("SYNAPSCALE_") and name.upper() not in known]
    for name in unknown:
        nearest = difflib.get_close_matches(name.upper(), known, n=1)
        meant = f"Did you mean {nearest[0]}?" if nearest else "Remove it; .env.example lists the names that exist."
        yield Finding(".env", f"{name} is the name of no setting", meant)
    if not unknown:
        yield Finding(".env", f"{len(written)} settings")


def port(settings: Settings) -> Iterator[Finding]:
    name = f"port {settings.port}"
    running = holder(settings.data_dir)
    try:
        if is_free(settings.host, settings.port):
            yield Finding(name, f"free on {settings.host}")
        elif running is not None:
            yield Finding(name, f"in use, and SynapScale is running (process {running})")
        else:
            mend = f"Stop that program, or choose another port: synapscale up --port {settings.port + 1}"
            yield Finding(name, f"in use on {settings.host} by another program", mend)
    except CannotStart as error:
        yield Finding(name, str(error), "Correct SYNAPSCALE_HOST or SYNAPSCALE_PORT.")


def database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None:
        yield from embedded_postgres(settings.data_dir)
    else:
        yield asyncio.run(configured_database(settings.database_url))


def embedded_postgres(data_dir: Path) -> Iterator[Finding]:
    name = "database"
    try:
        command = [binaries() / "postgres", "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (CannotStart, OSError, subprocess.CalledProcessError) as error:
        mend = "Set SYNAPSCALE_DATABASE_URL to a PostgreSQL of your own, or install SynapScale again."
        yield Finding(name, f"the embedded PostgreSQL does not run here: {error}", mend)
        return
    written = data_dir / "postgres" / "PG_VERSION"
    made_by = written.read_text().strip() if written.exists() else VERSION
    place = nearest_existing(data_dir)
    if not os.access(place, os.W_OK | os.X_OK):
        mend = f"Give this user the directory (chown), or set SYNAPSCALE_DATA_DIR to another one than {data_dir}."
        yield Finding(name, f"{place} cannot be written to", mend)
    elif made_by != VERSION:
        mend = "Dump it with that version and load it again, or set SYNAPSCALE_DATA_DIR to a new directory."
        yield Finding(name, f"{data_dir} was made by PostgreSQL {made_by}, and this is {VERSION}", mend)
    else:
        yield Finding(name, f"embedded {version} in {data_dir}")


def keys(settings: Settings) -> Iterator[Finding]:
    """Which providers have all that they need; never the keys themselves."""
    llm = llm_service.settings.Settings()
    try:
        config = load_config(llm.llm_config, variables=llm_service.settings.environment())
    except ConfigError as error:
        yield Finding("providers", str(error), "Correct the file, or set SYNAPSCALE_LLM_CONFIG to another one.")
        return
    if config.active:
        yield Finding("providers", "configured: " + ", ".join(config.active))
    elif settings.env == "development":
        yield Finding(
            "providers", "none is configured: the echo provider answers; a key such as OPENAI_API_KEY adds one"
        )
    else:
        yield Finding("providers", "none is configured", "Set a key such as OPENAI_API_KEY; see .env.example.")


def secrets(settings: Settings) -> Iterator[Finding]:
    """In production weak settings are no settings at all; this is about the day before."""
    weak = [*settings.weaknesses(), *auth_service.settings.Settings().weaknesses()]
    if weak:
        yield Finding("secrets", "fit for development; production would refuse: " + "; ".join(dict.fromkeys(weak)))
    else:
        yield Finding("secrets", "fit for production")


def disk(settings: Settings) -> Iterator[Finding]:
    free = shutil.disk_usage(nearest_existing(settings.data_dir)).free
    mend = f"Free some space where {settings.data_dir} is, or set SYNAPSCALE_DATA_DIR to another disk."
    yield Finding("disk", f"{in_gigabytes(free)} free", mend if free < NEEDED_DISK else None)


def memory() -> Iterator[Finding]:
    free = psutil.virtual_memory().available
    mend = f"Close other programs: {in_gigabytes(NEEDED_MEMORY)} should be free."
    yield Finding("memory", f"{in_gigabytes(free)} available", mend if free < NEEDED_MEMORY else None)


def nearest_existing(path: Path) -> Path:
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def in_gigabytes(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB"
