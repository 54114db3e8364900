"""What alembic runs for each of its commands."""

import asyncio
import re

from alembic import context
from sqlalchemy import Connection, text

from migrations.metadata import METADATA, SCHEMAS
from shared.database import create_engine
from shared.settings import ServiceSettings

LOCK = 0x73796E61_6D696772
"""The advisory lock that lets one process migrate at a time (`syna`, `migr`)."""


PARTITION = re.compile(r"events_\d")


def include_name(name: str | None, kind: str, parents: object) -> bool:  # noqa: ARG001 # alembic's signature
    if kind == "table":
        return not PARTITION.fullmatch(str(name))  # the models know the whole table only
    return kind != "schema" or name in SCHEMAS


def migrate(connection: Connection) -> None:
    connection.execute(text(f"SELECT pg_advisory_lock({LOCK})"))
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=METADATA,
            include_schemas=True,
            include_name=include_name,
            version_table_schema="public",  # a role named `auth` would look for it in the schema of that name
            compare_server_default=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({LOCK})"))
        connection.commit()


async def connect_and_migrate(url: str) -> None:
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


url = context.config.attributes.get("database_url") or ServiceSettings().database_url
if url is None:
    raise SystemExit(
        "SYNAPSCALE_DATABASE_URL is not set, in the environment or in .env: which database is to be migrated? "
        "(`synapscale migrate` brings the embedded one up to date.)"
    )
asyncio.run(connect_and_migrate(url))
