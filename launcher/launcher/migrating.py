"""Bringing the database up to date: before a start, or by `synapscale migrate`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from alembic.util import CommandError
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from launcher.claim import claimed, holder
from launcher.environment import database, log_format
from launcher.errors import CannotStart
from launcher.postgres import EmbeddedPostgres
from launcher.settings import Settings
from launcher.signals import raise_when_asked_to_stop
from shared.logs import configure_logs


def migrate(database_url: str) -> None:
    """Raises CannotStart where the database does not answer, or comes from a newer SynapScale."""
    from migrations.run import upgrade

    place = make_url(database_url).render_as_string(hide_password=True)
    try:
        upgrade(database_url)
    except OSError as error:
        raise CannotStart(f"The database does not answer: {error}\n({place})") from None
    except DBAPIError as error:
        raise CannotStart(f"The database cannot be used: {error.orig}\n({place})") from None
    except CommandError as error:
        raise CannotStart(f"The database cannot be migrated: {error}\n({place})") from None


@contextmanager
def configured_database(settings: Settings) -> Iterator[str]:
    """The one that is configured, or else the embedded one, which runs for it unless it runs anyway."""
    configure_logs(level=settings.log_level, style=log_format(settings))
    if settings.database_url is not None:
        yield settings.database_url
    elif holder(settings.data_dir) is not None:  # started and stopped by whoever holds it
        yield EmbeddedPostgres(settings.data_dir).start()
    else:
        raise_when_asked_to_stop()
        with claimed(settings.data_dir, owner=os.getpid()), database(settings) as database_url:
            yield database_url()


def migrate_configured_database() -> None:
    with configured_database(Settings()) as database_url:
        migrate(database_url)
    print("The database is up to date.")
