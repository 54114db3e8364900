"""What the services are told beside their own environment, decided in this one place: database, secret, logs."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from launcher.postgres import EmbeddedPostgres
from launcher.settings import Settings
from shared.secrets import stored_secret


@contextmanager
def database(settings: Settings) -> Iterator[Callable[[], str]]:
    """Yields what waits for the database's address; the embedded one runs inside, where no other is configured.

    It starts in the background: the services take as long to be imported.
    """
    if settings.database_url is not None:
        configured = settings.database_url
        yield lambda: configured
        return
    postgres = EmbeddedPostgres(settings.data_dir)
    with ThreadPoolExecutor(max_workers=1) as background:
        starting = background.submit(postgres.start)
        try:
            yield starting.result
        finally:
            wait([starting])
            postgres.stop()


def completed(settings: Settings, *, database_url: str) -> dict[str, str]:
    """The settings that every service is given, by name; as variables, see `variables`."""
    told = {"database_url": database_url}
    if settings.secret_key is None:
        told["secret_key"] = stored_secret(settings.data_dir, "secret_key")
    if "public_url" not in settings.model_fields_set:
        told["public_url"] = f"http://localhost:{settings.port}"
    if "log_format" not in settings.model_fields_set and sys.stderr.isatty():
        told["log_format"] = "console"
    return told


def variables(told: dict[str, str]) -> dict[str, str]:
    return {f"SYNAPSCALE_{name.upper()}": value for name, value in told.items()}
