"""The ledger as PostgreSQL has it, and callers with limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from shared.ids import new_id
from tests.tokens import bearer

Row = dict[str, Any]
PRICE = {"input": Decimal("2.5"), "output": Decimal("10")}
"""Of gpt-4o, in US dollars per million tokens, as the shipped list has it."""


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close()


async def rows(database_url: str, query: str, *given: Any) -> list[Row]:
    async with connected(database_url) as connection:
        return [dict(row) for row in await connection.fetch(query, *given)]


async def requests(database_url: str) -> list[Row]:
    return await rows(database_url, "SELECT * FROM llm.requests ORDER BY id")


async def attempts(database_url: str) -> list[Row]:
    return await rows(database_url, "SELECT * FROM llm.attempts ORDER BY request_id, number")


async def windows(database_url: str) -> dict[str, tuple[Any, Any]]:
    """What is spent and reserved, by dimension."""
    found = await rows(database_url, "SELECT * FROM llm.limit_windows")
    return {row["dimension"]: (row["spent"], row["reserved"]) for row in found}


async def assert_sums_agree(database_url: str) -> None:
    """In each of the tables of sums there is as much as in the single rows."""
    told = (
        "sum(requests) requests, sum(attempts) attempts, sum(cost_usd) cost, sum(input_tokens + output_tokens) tokens"
    )
    single = await rows(
        database_url,
        "SELECT (SELECT count(*) FROM llm.requests) requests, count(*) attempts, coalesce(sum(cost_usd), 0) cost, "
        "coalesce(sum(input_tokens + output_tokens), 0) tokens FROM llm.attempts",
    )
    for table in ("usage_hours", "usage_days", "user_usage_hours", "user_usage_days", "user_usage_months"):
        summed = await rows(database_url, f"SELECT {told} FROM llm.{table}")  # one of five names
        assert summed == single, (table, summed, single)


def limited(key: str | None = None, **policy: Any) -> dict[str, str]:
    """The header of an API key with these limits."""
    key_id = key or new_id("key")
    return bearer(sid=key_id, policy={**policy, "key": key_id})


def budget(usd: str, period: str = "month") -> dict[str, str]:
    return {"usd": usd, "period": period}


def files_of(directory: Path) -> list[Path]:
    """The ledger's, of a process whose data directory that is, that wait for the database."""
    return list((directory / "ledger").glob("*.jsonl"))


def lines_of(directory: Path) -> int:
    return sum(len(file.read_bytes().splitlines()) for file in files_of(directory))
