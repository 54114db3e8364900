"""What `synapscale doctor` looks at. A check starts nothing, changes nothing, and says how to mend what it finds."""

import difflib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from dotenv import dotenv_values

import api_gateway.settings
import auth_service.settings
import chat_service.settings
import llm_service.settings
from launcher.claim import holder
from launcher.errors import CannotStart
from launcher.ports import is_free
from launcher.settings import Settings
from llm_service.config import ConfigError
from llm_service.config_file import load_config
from shared.settings import ServiceSettings

OLDEST_PYTHON = (3, 11)
NEEDED_DISK = 1 << 30
NEEDED_MEMORY = 512 << 20
"""Bytes; the platform in one process takes about half of it, PostgreSQL included."""

SETTINGS: tuple[type[ServiceSettings], ...] = (
    Settings,
    api_gateway.settings.Settings,
    auth_service.settings.Settings,
    chat_service.settings.Settings,
    llm_service.settings.Settings,
)


@dataclass(frozen=True)
class Finding:
    """`mend` says what to do, where the platform would not work as things are."""

    what: str
    told: str
    mend: str | None = None


def python() -> Iterator[Finding]:
    version, needed = (".".join(map(str, numbers)) for numbers in (sys.version_info[:3], OLDEST_PYTHON))
    mend = f"Install Python {needed} or newer, remove .venv, and install again."
    yield Finding("python", version, mend if sys.version_info < OLDEST_PYTHON else None)


def memory() -> Iterator[Finding]:
    free = psutil.virtual_memory().available
    mend = f"Close other programs: {in_gigabytes(NEEDED_MEMORY)} should be available."
    yield Finding("memory", f"{in_gigabytes(free)} available", mend if free < NEEDED_MEMORY else None)


def dotenv() -> Iterator[Finding]:
    """A misspelt name would be ignored without a word."""
    path = Path(".env")
    if not path.exists():
        yield Finding(".env", "there is none: the environment and the defaults count")
        return
    try:
        names = list(dotenv_values(path))
    except (OSError, UnicodeDecodeError) as error:
        yield Finding(".env", f"cannot be read: {error}", "Make it a text file in UTF-8 that you may read.")
        return
    known = {f"SYNAPSCALE_{field}".upper() for settings in SETTINGS for field in settings.model_fields}
    unknown = [name for name in names if name.upper().startswith("SYNAPSCALE_") and name.upper() not in known]
    for name in unknown:
        nearest = difflib.get_close_matches(name.upper(), known, n=1)
        mend = f"Did you mean {nearest[0]}?" if nearest else "Remove it; .env.example lists the names that exist."
        yield Finding(".env", f"{name} is the name of no setting", mend)
    if not unknown:
        yield Finding(".env", f"{len(names)} settings")


def disk(settings: Settings) -> Iterator[Finding]:
    free = shutil.disk_usage(nearest_existing(settings.data_dir)).free
    mend = f"Make room where {settings.data_dir} is, or set SYNAPSCALE_DATA_DIR to another disk."
    yield Finding("disk", f"{in_gigabytes(free)} free", mend if free < NEEDED_DISK else None)


def port(settings: Settings) -> Iterator[Finding]:
    what = f"port {settings.port}"
    try:
        free = is_free(settings.host, settings.port)
    except CannotStart as error:
        yield Finding(what, str(error), "Correct SYNAPSCALE_HOST or SYNAPSCALE_PORT.")
        return
    if free:
        yield Finding(what, f"free on {settings.host}")
    elif (running := holder(settings.data_dir)) is not None:
        yield Finding(what, f"in use, and SynapScale is running (process {running})")
    else:
        mend = "Stop that program, or choose another port: synapscale up --port N, or SYNAPSCALE_PORT"
        yield Finding(what, f"in use on {settings.host} by another program", mend)


def providers(settings: Settings) -> Iterator[Finding]:
    """Which have all that they need; their keys are not shown."""
    llm = llm_service.settings.Settings()
    try:
        config = load_config(llm.llm_config, variables=llm_service.settings.environment())
    except ConfigError as error:
        yield Finding("providers", str(error), "Correct the file, or set SYNAPSCALE_LLM_CONFIG to another one.")
        return
    if config.active:
        yield Finding("providers", f"configured: {', '.join(config.active)}")
    elif settings.env == "development":
        yield Finding("providers", "none is configured, so the echo provider answers; OPENAI_API_KEY would add one")
    else:
        yield Finding("providers", "none is configured", "Set a key, such as OPENAI_API_KEY; see .env.example.")


def secrets(settings: Settings) -> Iterator[Finding]:
    """Production does not even read weak ones, so this is about the day before."""
    weak = {*settings.weaknesses(), *auth_service.settings.Settings().weaknesses()}
    told = "fit for development; production would refuse: " + "; ".join(sorted(weak)) if weak else "fit for production"
    yield Finding("secrets", told)


def nearest_existing(path: Path) -> Path:
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def in_gigabytes(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB"
