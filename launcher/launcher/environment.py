"""What the services are told beside their own environment, decided in this one place: database, secret, logs."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal, TypedDict

import structlog

from launcher.postgres import EmbeddedPostgres
from launcher.settings import Settings
from shared.secrets import stored_secret

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks whether the embedded PostgreSQL still runs."""


@contextmanager
def database(settings: Settings, *, owner: int | None = None) -> Iterator[Callable[[], str]]:
    """Yields what waits for the database's address; where none is configured, the embedded PostgreSQL runs inside.

    It starts in the background, as the services take as long to be imported, and is started again if it dies. It stops
    at the end, or with the process `owner` if that one outlives this.
    """
    if settings.database_url is not None:
        configured = settings.database_url
        yield lambda: configured
        return
    postgres = EmbeddedPostgres(settings.data_dir)

    def start() -> str:
        url = postgres.start()
        if owner is not None:
            postgres.stop_when_process_ends(owner)
        return url

    ended = threading.Event()
    try:
        with ThreadPoolExecutor(max_workers=1) as background:  # one after the other
            started = background.submit(start)
            background.submit(_keep_running, postgres, started, ended)
            try:
                yield started.result
            finally:
                ended.set()
    finally:
        if owner is None:
            postgres.stop()


def _keep_running(postgres: EmbeddedPostgres, started: Future[str], ended: threading.Event) -> None:
    """Until `ended`: what kills a PostgreSQL (want of memory, a slip of the hand) does not end the platform."""
    while started.exception() is None and not ended.wait(LOOK_EVERY):
        if not postgres.is_running:
            log.error("the embedded PostgreSQL has died and is started again")
            try:
                postgres.start()
            except Exception as error:  # whatever it is (a full disk, say) may be over at the next look
                log.error("the embedded PostgreSQL does not start", problem=str(error))


class Told(TypedDict):
    """What every service is told, by the names of its settings."""

    database_url: str
    secret_key: str
    public_url: str
    log_format: Literal["json", "console"]


def completed(settings: Settings, *, database_url: str) -> Told:
    """Generates the secret key where development has none."""
    is_public = "public_url" in settings.model_fields_set
    return {
        "database_url": database_url,
        "secret_key": settings.secret_key or stored_secret(settings.data_dir, "secret_key"),
        "public_url": settings.public_url if is_public else f"http://localhost:{settings.port}",
        "log_format": log_format(settings),
    }


def log_format(settings: Settings) -> Literal["json", "console"]:
    """What is set; otherwise for a person on a terminal, for a program elsewhere."""
    if "log_format" in settings.model_fields_set or not sys.stderr.isatty():
        return settings.log_format
    return "console"


def as_variables(told: Told) -> dict[str, str]:
    return {f"SYNAPSCALE_{name.upper()}": str(value) for name, value in told.items()}
