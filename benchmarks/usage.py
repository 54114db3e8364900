"""How long a year of usage takes to sum up with 10 million requests, and what writing the ledger costs.

PYTHONPATH=. .venv/bin/python benchmarks/usage.py    # minutes; a PostgreSQL of its own, 8 GB of disk

The requests are made by PostgreSQL, a day at a time, and go into the ledger by the statement that the service uses:
each has its row, that of its attempt, and its part of all sums. Rows are not logged while they are made, which no
question notices. It is asked through the service.
"""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import asyncpg
import httpx2
import psutil
from sqlalchemy import text

from launcher.postgres import EmbeddedPostgres
from llm_service.ledger.records import AttemptRecord, Entry, RequestRecord, new_record_id
from llm_service.ledger.repository import append
from llm_service.ledger.statements import appending
from migrations.run import upgrade
from shared.database import database
from shared.events import Usage
from tests.llm_service.serving import serving
from tests.tokens import bearer

REQUESTS = 10_000_000
USERS = 200
DAYS = 365
ASKED = 40
BATCH = 500
MAKERS = 2
PACKAGES = ("fastapi", "sqlalchemy", "asyncpg", "msgspec")
SUMMED = ("usage_hours", "usage_days", "user_usage_hours", "user_usage_days", "user_usage_months")

MAKE = """
    SELECT uuidv7(at - now()) AS id, 'org_test' AS organization_id, 'usr_' || u AS user_id, 'key_' || u AS session_id,
      'key_' || u AS key_id, 'llm' AS source, 'req_' || n AS request_id, 'auto' AS model_asked, 'model-' || m AS model,
      'provider-' || m % 3 AS provider, true AS stream, 'completed' AS result, NULL::text AS error, false AS cached,
      90.0 AS first_content_ms, 900.0 AS total_ms, 2.0 AS overhead_ms, at AS created_at,
      ARRAY[(1, 'model-' || m, 'provider-' || m % 3, 'one', 'completed', NULL, 200,
        (n % 4000, n % 500, n % 1000, 0, 0, 0, 0, 0, false)::llm.told_usage,
        0.000001 * (n % 9000), 90, 900, at)::llm.told_attempt] AS attempts
    FROM (
      SELECT n, $1::timestamptz + n * $2::interval AS at, hashint4(n::int) & 65535 AS h
      FROM generate_series($3::bigint, $4::bigint) n
    ) one, LATERAL (SELECT h % {users} AS u, (h % {users} + (h / {users}) % 4 / 3) % 5 AS m) who
"""


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


async def fill(url: str, since: datetime, *, requests: int) -> None:
    address = url.replace("+asyncpg", "")
    connection = await asyncpg.connect(address)
    started = time.monotonic()
    await connection.execute("ALTER TABLE llm.requests SET UNLOGGED; ALTER TABLE llm.attempts SET UNLOGGED")
    days = iter(range(DAYS))
    await asyncio.gather(*(make(address, since, days, requests=requests) for _ in range(MAKERS)))
    print(f"{requests:,} requests made in {time.monotonic() - started:.0f} s", flush=True)
    for table in ("requests", "attempts", *SUMMED):
        await connection.execute(f"VACUUM ANALYZE llm.{table}")
        count = await connection.fetchval(f"SELECT count(*) FROM llm.{table}")  # noqa: S608 # of names in this file
        print(f"{table}: {count:,} rows", flush=True)
    for table in SUMMED:
        found = await connection.fetchval(f"SELECT sum(requests) FROM llm.{table}")  # noqa: S608 # of names
        assert found == requests, (table, found)
    await connection.execute("CHECKPOINT")
    await connection.close()


async def make(address: str, since: datetime, days: Iterator[int], *, requests: int) -> None:
    connection = await asyncpg.connect(address)
    await connection.execute("SET work_mem = '256MB'; SET jit = off; SET synchronous_commit = off")
    statement = appending(MAKE.format(users=USERS))
    apart = timedelta(days=DAYS) / requests
    for day in days:
        first, last = (-(-number * requests // DAYS) for number in (day, day + 1))
        await connection.execute(statement, since, apart, first, last - 1)
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
    """Batches of the ledger, one after the other, with what they cost this process and PostgreSQL's."""
    async with database(url) as sessions, sessions() as session:
        server = psutil.Process(await session.scalar(text("SELECT pg_backend_pid()")) or 0)
        await session.commit()
        took, ours = [], []
        for number in range(ASKED + 10):
            if number == 10:  # its plan is made by then
                before = server.cpu_times()
            entries = [entry(one) for one in range(BATCH)]
            started, cpu = time.perf_counter(), time.process_time()
            await append(session, entries)
            await session.commit()
            took.append(time.perf_counter() - started)
            ours.append(time.process_time() - cpu)
        after = server.cpu_times()
    theirs = after.user + after.system - before.user - before.system
    rate = BATCH / statistics.median(took[10:])
    print(
        f"batches of {BATCH}: {rate:,.0f} requests/s; each takes {statistics.mean(ours[10:]) / BATCH * 1e6:.1f} us of "
        f"this process, {theirs / ASKED / BATCH * 1e6:.1f} us of PostgreSQL's"
    )


async def main(requests: int) -> None:
    print(datetime.now(UTC).date(), platform.platform(), "CPython", platform.python_version())
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES), flush=True)
    until = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = until - timedelta(days=DAYS)
    async with postgres() as url:
        await fill(url, since, requests=requests)
        with tempfile.TemporaryDirectory() as directory:
            echo = {"echo": {"type": "echo", "models": ["gpt-4o"]}}
            async with serving(Path(directory), echo, database_url=url) as llm:
                year = {"from": since.isoformat(), "to": until.isoformat()}
                print("| a year, grouped by | rows | first | p50 | p95 |")
                for groups in ("user", "key", "model", "provider", "day", "day,model", "key,model"):
                    await ask(llm, groups, group_by=groups, **year)
                month = {"from": (until - timedelta(days=31)).isoformat(), "to": until.isoformat()}
                await ask(llm, "hour (31 days)", group_by="hour", **month)
                await ask(llm, "user (31 days)", group_by="user", **month)
                await ask(llm, "day, of one user", group_by="day", user="usr_7", **year)
                await ask(llm, "day, of one key", group_by="day", key="key_7", **year)
        await write(url)


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("--requests", type=int, default=REQUESTS)
    asyncio.run(main(given.parse_args().requests))
