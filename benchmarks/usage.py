"""How long a year of usage takes to sum up with 10 million requests, and what writing the ledger costs.

PYTHONPATH=. .venv/bin/python benchmarks/usage.py    # minutes; a PostgreSQL of its own, 2 GB of disk

The sums of the requests are made by SQL from generate_series, as the ledger's writer would have left them; the single
requests are not made, because `GET /api/llm/usage` never reads them. It is asked through the service.
"""

import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import asyncpg
import httpx2

from launcher.postgres import EmbeddedPostgres
from llm_service.ledger.records import AttemptRecord, Entry, RequestRecord, new_record_id
from llm_service.ledger.repository import append
from migrations.run import upgrade
from shared.database import database
from shared.events import Usage
from tests.llm_service.serving import serving
from tests.tokens import bearer

REQUESTS = 10_000_000
USERS = 200
DAYS = 365
ASKED = 40
PACKAGES = ("fastapi", "sqlalchemy", "asyncpg")
SUMS = "requests, attempts, cost_usd, input_tokens, output_tokens, cached_input_tokens"

MAKE_HOURS = f"""
INSERT INTO llm.user_usage_hours (organization_id, starts_at, model, provider, user_id, key_id, {SUMS})
SELECT 'org_test', date_trunc('hour', at, 'UTC'), 'model-' || m, 'provider-' || m % 3, 'usr_' || u, 'key_' || u,
  count(*), count(*), sum(0.000001 * (n % 9000)), sum(n % 4000), sum(n % 500), sum(n % 1000)
FROM (
  SELECT n, $1::timestamptz + n * ($2::interval / {REQUESTS}) AS at, hashint4(n) & 65535 AS h
  FROM generate_series(0, {REQUESTS - 1}) n
) one, LATERAL (SELECT h % {USERS} AS u, (h % {USERS} + (h / {USERS}) % 4 / 3) % 5 AS m) who
GROUP BY 2, 3, 4, 5, 6
"""  # noqa: S608 # of numbers in this file
KEY = "organization_id, starts_at, model, provider"
ADDED = ", ".join(f"sum({name})" for name in SUMS.split(", "))
MAKE_DAYS = f"""
INSERT INTO llm.user_usage_days ({KEY}, user_id, key_id, {SUMS})
SELECT organization_id, date_trunc('day', starts_at, 'UTC'), model, provider, user_id, key_id, {ADDED}
FROM llm.user_usage_hours GROUP BY 1, 2, 3, 4, 5, 6;
INSERT INTO llm.usage_hours ({KEY}, {SUMS}) SELECT {KEY}, {ADDED} FROM llm.user_usage_hours GROUP BY 1, 2, 3, 4;
INSERT INTO llm.usage_days ({KEY}, {SUMS}) SELECT {KEY}, {ADDED} FROM llm.user_usage_days GROUP BY 1, 2, 3, 4;
"""  # noqa: S608 # of names in this file


@asynccontextmanager
async def postgres() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="syn-") as directory:
        os.chmod(directory, 0o711)  # noqa: S103 # PostgreSQL has a user of its own where root runs this
        server = EmbeddedPostgres(Path(directory) / "data")
        try:
            url = server.start()
            await asyncio.to_thread(upgrade, url)
            yield url
        finally:
            server.stop()


async def fill(url: str, since: datetime) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    started = time.monotonic()
    await connection.execute("SET work_mem = '1GB'; SET jit = off")
    await connection.execute(MAKE_HOURS, since, timedelta(days=DAYS))
    await connection.execute(MAKE_DAYS)
    await connection.execute(
        "VACUUM ANALYZE llm.usage_hours, llm.usage_days, llm.user_usage_hours, llm.user_usage_days"
    )
    hours, days, requests = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM llm.user_usage_hours), count(*), sum(requests) FROM llm.user_usage_days"
    )
    print(f"{requests:,.0f} requests: {hours:,} sums of users by hour, {days:,} by day")
    print(f"made in {time.monotonic() - started:.0f} s", flush=True)
    await connection.close()


async def ask(llm: httpx2.AsyncClient, name: str, **query: str) -> None:
    took, rows = [], 0
    for _ in range(ASKED):
        started = time.perf_counter()
        answer = await llm.get("/api/llm/usage", params=query, headers=bearer(scopes="usage:read admin"))
        took.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.text
        rows = len(answer.json()["data"])
    p95 = statistics.quantiles(took, n=20)[-1]
    print(f"| {name} | {rows:,} | {took[0]:.0f} ms | {statistics.median(took):.0f} ms | {p95:.0f} ms |", flush=True)


def entry(number: int) -> Entry:
    now = datetime.now(UTC)
    attempt = AttemptRecord(
        number=1,
        model=f"model-{number % 5}",
        provider="provider-1",
        result="completed",
        total_ms=900,
        created_at=now,
        usage=Usage(input_tokens=900, output_tokens=200),
        cost_usd=Decimal("0.00425"),
    )
    record = RequestRecord(
        id=new_record_id(),
        organization_id="org_test",
        user_id=f"usr_{number % USERS}",
        session_id=f"key_{number % USERS}",
        key_id=f"key_{number % USERS}",
        source="llm",
        request_id=f"req_{number}",
        model_asked="auto",
        model=attempt.model,
        provider=attempt.provider,
        stream=True,
        result="completed",
        total_ms=900,
        overhead_ms=2,
        created_at=now,
        attempts=(attempt,),
    )
    return Entry(id=record.id, record=record)


async def write(url: str) -> None:
    """Batches of the ledger, as large as they get."""
    async with database(url) as sessions:
        took = []
        for _ in range(ASKED):
            entries = [entry(number) for number in range(500)]
            started = time.perf_counter()
            async with sessions.begin() as session:
                await append(session, entries)
            took.append((time.perf_counter() - started) * 1000)
    print(f"a batch of 500 requests, median of {ASKED}: {statistics.median(took):.0f} ms")


async def main() -> None:
    print(datetime.now(UTC).date(), platform.platform(), "CPython", platform.python_version())
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES), flush=True)
    until = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = until - timedelta(days=DAYS)
    async with postgres() as url:
        await fill(url, since)
        with tempfile.TemporaryDirectory() as directory:
            echo = {"echo": {"type": "echo", "models": ["gpt-4o"]}}
            async with serving(Path(directory), echo, database_url=url) as llm:
                year = {"from": since.isoformat(), "to": until.isoformat()}
                print("| a year, grouped by | rows | first | p50 | p95 |")
                for groups in ("day", "model,provider", "day,model", "user", "key,model"):
                    await ask(llm, groups, group_by=groups, **year)
                month = {"from": (until - timedelta(days=31)).isoformat(), "to": until.isoformat()}
                await ask(llm, "hour (31 days)", group_by="hour", **month)
                await ask(llm, "day, of one user", group_by="day", user="usr_7", **year)
        await write(url)


if __name__ == "__main__":
    asyncio.run(main())
