"""What the services are told beside their own environment, decided in this one place: database, secret, logs."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from launcher.postgres import EmbeddedPostgres
from launcher.settings import Settings
from shared.secrets import stored_secret


@contextmanager
def database(settings: Settings, *, owner: int | None = None) -> Iterator[Callable[[], str]]:
    """Yields what waits for the database's address; where none is configured, the embedded PostgreSQL runs inside.

    It starts in the background: the services take as long to be imported. It stops at the end, or with the process
    `owner` if that one outlives this.
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

    try:
        with ThreadPoolExecutor(max_workers=1) as background:
            yield background.submit(start).result
    finally:
        if owner is None:
            postgres.stop()


def completed(settings: Settings, *, database_url: str) -> dict[str, str]:
    """What every service is told, by the names of its settings."""
    told = {"database_url": database_url}
    if settings.secret_key is None:
        told["secret_key"] = stored_secret(settings.data_dir, "secret_key")
    if "public_url" not in settings.model_fields_set:
        told["public_url"] = f"http://localhost:{settings.port}"
    if "log_format" not in settings.model_fields_set and sys.stderr.isatty():
        told["log_format"] = "console"
    return told


def as_variables(told: dict[str, str]) -> dict[str, str]:
    return {f"SYNAPSCALE_{name.upper()}": value for name, value in told.items()}
