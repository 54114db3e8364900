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
