"""All SQL of usage: sums are read from the sums by month, day or hour, never from single requests."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from sqlalchemy.ext.asyncio import AsyncConnection

from llm_service.ledger.records import SUMS

COLUMNS = {"model": "model", "provider": "provider", "user": "user_id", "key": "key_id"}
MONTHS = "user_usage_months"
TABLES = {
    (False, False): "usage_hours",
    (False, True): "usage_days",
    (True, False): "user_usage_hours",
    (True, True): "user_usage_days",
}
"""By whether users are told apart, and whether by day."""
_ADDED = ", ".join(f"coalesce(sum({name}), 0){'' if name == 'cost_usd' else '::bigint'} AS {name}" for name in SUMS)
"""PostgreSQL's sum of whole numbers is no whole number."""

Span = tuple[str, datetime, datetime]
"""A table of sums, and which of its time: from the first moment to before the last."""


class Narrowed(TypedDict):
    """None is everything."""

    user: str | None
    key: str | None
    model: str | None
    provider: str | None


async def sum_usage(
    connection: AsyncConnection,
    narrowed: Narrowed,
    *,
    organization_id: str,
    only_of: str | None,
    group_by: Sequence[str],
    since: datetime,
    until: datetime,
    by_day: bool,
    limit: int,
) -> list[dict[str, Any]]:
    """In the order of the groups, of the user `only_of` alone where one is named.

    `by_day` reads the sums by day: `since` and `until` are then whole days.

    One statement, with its moments written out: a plan for any time is seven times slower for a year, measured.
    """
    apart = not {"user", "key"}.isdisjoint(group_by) or bool(only_of or narrowed["user"] or narrowed["key"])
    spans = [(TABLES[apart, by_day], since, until)]
    if apart and by_day and "day" not in group_by:
        spans = _by_month(since, until)
    asked = [("user_id", only_of), *((COLUMNS[name], value) for name, value in narrowed.items())]
    given = [(column, value) for column, value in asked if value is not None]
    same = "".join(f" AND {column} = ${number}" for number, (column, _) in enumerate(given, start=2))
    read = ", ".join(["starts_at", *(COLUMNS[name] for name in group_by if name in COLUMNS), *SUMS])
    rows = " UNION ALL ".join(
        f"SELECT {read} FROM llm.{table} WHERE organization_id = $1{same} "  # noqa: S608 # of names and moments
        f"AND starts_at >= '{first:%Y-%m-%d %H:%MZ}' AND starts_at < '{last:%Y-%m-%d %H:%MZ}'"
        for table, first, last in spans
    )
    groups = ", ".join(str(number + 1) for number in range(len(group_by)))
    told = ", ".join([*map(_group, group_by), _ADDED])
    query = f"SELECT {told} FROM ({rows}) sums GROUP BY {groups} ORDER BY {groups} LIMIT {limit}"  # noqa: S608 # of names
    found = await connection.exec_driver_sql(query, (organization_id, *(value for _, value in given)))
    columns = tuple(found.keys())
    return [dict(zip(columns, row, strict=True)) for row in found]


def _group(name: str) -> str:
    return COLUMNS.get(name, f"date_trunc('{name}', starts_at, 'UTC') AS starts_at")


def _by_month(since: datetime, until: datetime) -> list[Span]:
    """Whole months, and the days before and after them."""
    first, last = _month(since), _month(until)
    if first < since:
        first = _month(first + timedelta(days=32))
    if first >= last:
        return [(TABLES[True, True], since, until)]
    spans = [(MONTHS, first, last), (TABLES[True, True], since, first), (TABLES[True, True], last, until)]
    return [span for span in spans if span[1] < span[2]]


def _month(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
