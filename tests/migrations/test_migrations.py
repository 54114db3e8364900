"""The migrations lead to the models, and back to nothing."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from alembic import command
from alembic.util import CommandError

from migrations.run import configuration, downgrade, upgrade


async def tables(url: str) -> list[str]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        rows = await connection.fetch(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        schemas = await connection.fetch(
            "SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^(pg_|information)'"
        )
    finally:
        await connection.close()
    return [row["name"] for row in (*rows, *schemas)]


async def test_models_and_migrations_do_not_differ(empty_database_url: str) -> None:
    await asyncio.to_thread(upgrade, empty_database_url)
    try:
        await asyncio.to_thread(command.check, configuration(empty_database_url))
    except CommandError as difference:
        pytest.fail(str(difference))


EXPIRING = {"sessions": "expires_at", "grants": "expires_at", "revocations": "expires_at"} | {
    "login_throttles": "failed_at",
    "idempotency_keys": "created_at",
}


@pytest.mark.parametrize(("table", "column"), EXPIRING.items())
async def test_what_is_thrown_away_is_found_by_an_index(empty_database_url: str, table: str, column: str) -> None:
    """Clearing away is part of requests, some of them frequent: it must not read all that has not expired."""
    await asyncio.to_thread(upgrade, empty_database_url)
    connection = await asyncpg.connect(empty_database_url.replace("+asyncpg", ""))
    try:
        await connection.execute("SET enable_seqscan = off")
        plan = await connection.fetch(f"EXPLAIN SELECT 1 FROM auth.{table} WHERE {column} < now()")
    finally:
        await connection.close()
    assert any("Index Cond" in line[0] and column in line[0] for line in plan), plan


async def test_each_service_has_a_schema_of_its_own(empty_database_url: str) -> None:
    await asyncio.to_thread(upgrade, empty_database_url)
    found = await tables(empty_database_url)
    assert {"auth.users", "chat.messages", "llm.requests", "public.alembic_version"} <= set(found)
    assert {name.split(".")[0] for name in found} == {"auth", "chat", "llm", "public"}


async def test_the_way_back_leaves_nothing_and_can_be_gone_again(empty_database_url: str) -> None:
    await asyncio.to_thread(upgrade, empty_database_url)
    await asyncio.to_thread(downgrade, empty_database_url)
    assert await tables(empty_database_url) == ["public.alembic_version", "public"]
    await asyncio.to_thread(upgrade, empty_database_url)
    assert "auth.users" in await tables(empty_database_url)


async def test_two_replicas_may_migrate_at_once(empty_database_url: str) -> None:
    """In processes of their own: alembic's context is global."""
    code = f"from migrations.run import upgrade; upgrade({empty_database_url!r})"

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    with ThreadPoolExecutor(3) as pool:
        done = await asyncio.gather(*(asyncio.get_running_loop().run_in_executor(pool, run) for _ in range(3)))
    assert [each.returncode for each in done] == [0, 0, 0], [each.stderr for each in done]
    assert "auth.users" in await tables(empty_database_url)
