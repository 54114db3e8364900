"""All SQL of the ledger: a batch is one transaction of two statements, however many rows it has."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from llm_service.ledger.records import SUMS, TOKEN_KINDS, Entry, RequestRecord, attempt_rows, request_rows

_TOKENS = ", ".join(TOKEN_KINDS)
_REQUEST = (
    "id, organization_id, user_id, session_id, key_id, source, request_id, model_asked, model, provider, stream, "
    f"result, error, {_TOKENS}, cost_usd, estimated, cached, first_content_ms, total_ms, overhead_ms, created_at"
)
_ATTEMPT = (
    "request_id, number, organization_id, model, provider, key, result, error, status, "
    f"{_TOKENS}, cost_usd, estimated, first_content_ms, total_ms, created_at"
)


def _summed(table: str, unit: str, *, users: bool, sign: str = "") -> str:
    """Adds `lines` to the sums. The order is the same for all writers, so that no two wait for each other."""
    names = ["model", "provider", *(["user_id", "key_id"] if users else [])]
    key = ", ".join(["organization_id", "starts_at", *names])
    groups = ", ".join(str(number + 1) for number in range(2 + len(names)))
    sums = ", ".join(f"{sign}sum({name})" for name in SUMS)
    added = ", ".join(f"{name} = u.{name} + excluded.{name}" for name in SUMS)
    return f"""
    INSERT INTO llm.{table} AS u ({key}, {", ".join(SUMS)})
    SELECT organization_id, date_trunc('{unit}', created_at, 'UTC'), {", ".join(names)}, {sums}
    FROM lines GROUP BY {groups} ORDER BY {groups}
    ON CONFLICT ({key}) DO UPDATE SET {added}
    """  # noqa: S608 # of names in this file


def _all_summed(*, sign: str = "") -> str:
    """Ends the statement whose `lines` they are."""
    return f""", by_day AS ({_summed("usage_days", "day", users=False, sign=sign)}),
    by_hour_and_user AS ({_summed("user_usage_hours", "hour", users=True, sign=sign)}),
    by_day_and_user AS ({_summed("user_usage_days", "day", users=True, sign=sign)})
    {_summed("usage_hours", "hour", users=False, sign=sign)}"""


_LINES = f"""lines AS (
    SELECT organization_id, created_at, model, provider, user_id, key_id,
      1 AS requests, (result <> 'completed')::int AS failed, cached::int AS cached, 0 AS attempts,
      0 AS estimated, 0 AS unpriced, 0::numeric AS cost_usd, {", ".join(f"0 AS {name}" for name in TOKEN_KINDS)}
    FROM changed
    UNION ALL
    SELECT c.organization_id, c.created_at, t.model, t.provider, c.user_id, c.key_id,
      0, 0, 0, 1, t.estimated::int, (t.cost_usd IS NULL)::int, coalesce(t.cost_usd, 0),
      {", ".join(f"t.{name}" for name in TOKEN_KINDS)}
    FROM tried t JOIN changed c ON c.id = t.request_id WHERE t.result <> 'skipped'
  )"""  # noqa: S608 # of names in this file

APPEND = text(
    f"""
  WITH changed AS (
    INSERT INTO llm.requests ({_REQUEST})
    SELECT {_REQUEST} FROM jsonb_populate_recordset(NULL::llm.requests, CAST(:requests AS jsonb)) ORDER BY id
    ON CONFLICT (id) DO NOTHING RETURNING *
  ), tried AS (
    INSERT INTO llm.attempts ({_ATTEMPT})
    SELECT {", ".join("a." + name for name in _ATTEMPT.split(", "))}
    FROM jsonb_populate_recordset(NULL::llm.attempts, CAST(:attempts AS jsonb)) a
    JOIN changed ON changed.id = a.request_id AND changed.organization_id = a.organization_id
    RETURNING *
  ), {_LINES}{_all_summed()}"""  # noqa: S608 # of names in this file
)
RETRACT = text(
    f"""
  WITH changed AS (
    DELETE FROM llm.requests WHERE id = ANY(:ids) AND result = 'lost' RETURNING *
  ), tried AS (
    DELETE FROM llm.attempts t USING changed
    WHERE t.request_id = changed.id AND t.organization_id = changed.organization_id RETURNING t.*
  ), {_LINES}{_all_summed(sign="-")}"""  # noqa: S608 # of names in this file
)
SETTLE = text("SELECT llm.settle(CAST(:given AS jsonb))")


async def append(session: AsyncSession, entries: Sequence[Entry]) -> None:
    """Settles reservations and adds rows with their sums. What is there already is not added again."""
    if settled := [entry.settlement() for entry in entries if entry.reserved]:
        charged = await session.scalar(SETTLE, {"given": _json(settled)})
        if charged:
            await _retract(session, charged)
    if records := [entry.record for entry in entries if entry.record is not None]:
        await append_records(session, records)


async def append_records(session: AsyncSession, records: Sequence[RequestRecord]) -> None:
    rows = {"requests": _json(request_rows(records)), "attempts": _json(attempt_rows(records))}
    await session.execute(APPEND, rows)


async def _retract(session: AsyncSession, ids: Sequence[UUID]) -> None:
    """Takes back the rows of requests that were given up for lost, because what became of them is now known."""
    await session.execute(RETRACT, {"ids": list(ids)})


def _json(rows: Sequence[Any]) -> str:
    return msgspec.json.encode(rows).decode()
