"""Migrations from within a program."""

from alembic import command
from alembic.config import Config

from migrations import ROOT


def upgrade(database_url: str, *, revision: str = "head") -> None:
    """Brings the database up to date; does nothing where it is. Must not be called in a running event loop."""
    command.upgrade(configuration(database_url), revision)


def downgrade(database_url: str, *, revision: str = "base") -> None:
    command.downgrade(configuration(database_url), revision)


def configuration(database_url: str) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.attributes["database_url"] = database_url
    return config
