"""All SQL of limits; what has to be atomic is a function of the database (migration 0005): one round trip each."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from llm_service.limits.errors import Unit

RESERVE = text(
    "SELECT refused, retry_after, remaining FROM llm.reserve("
    ":id, :organization_id, :subject, CAST(:about AS jsonb), CAST(:wanted AS jsonb), :lease)"
)
RENEW = text(
    "UPDATE llm.reservations SET lease_until = now() + :lease WHERE id = ANY(:ids) AND organization_id IS NOT NULL"
)
READ = text(
    """
    SELECT w.dimension, nullif(w.starts_at, 'epoch') AS starts_at,
      CASE WHEN w.period <> 'total'
        THEN (w.starts_at AT TIME ZONE 'UTC' + ('1 ' || w.period)::interval) AT TIME ZONE 'UTC' END AS resets_at,
      coalesce(l.spent, 0) AS spent, coalesce(l.reserved, 0) AS reserved
    FROM (
      SELECT dimension, period, llm.window_start(period, now()) AS starts_at
      FROM unnest(CAST(:dimensions AS text[]), CAST(:periods AS text[])) AS named(dimension, period)
    ) w
    LEFT JOIN llm.limit_windows l ON l.organization_id = :organization_id AND l.subject = :subject
      AND l.dimension = w.dimension AND l.starts_at = w.starts_at
    """
)
CHARGE_EXPIRED = text("SELECT id, organization_id, about::text, holds::text FROM llm.charge_expired()")
FORGET = text(
    """
    WITH windows AS (
      DELETE FROM llm.limit_windows WHERE organization_id IS NOT NULL
      AND dimension = 'tokens_per_minute' AND starts_at < now() - interval '1 day' AND reserved = 0
    )
    DELETE FROM llm.reservations WHERE organization_id IS NOT NULL AND charged_at < now() - interval '30 days'
    """
)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """`amount` of a `dimension`, in its window of one `period`, of which there are `ceiling` in all."""

    dimension: str
    kind: Unit
    period: str
    amount: Decimal
    ceiling: Decimal


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger is told of a reservation whose owner cannot tell it."""

    user_id: str
    session_id: str
    key_id: str
    source: str
    model: str
    request_id: str
    created_at: datetime


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    amount: Decimal


class Expired(NamedTuple):
    """A reservation that has been charged in full."""

    id: UUID
    organization_id: str
    about: About
    held: dict[str, Decimal]
    """Amounts by kind."""


class Refusal(NamedTuple):
    dimension: str
    retry_after: float
    remaining: Decimal


class Window(NamedTuple):
    """The current one of a dimension; a limit of `total` has no moments."""

    dimension: str
    starts_at: datetime | None
    resets_at: datetime | None
    spent: Decimal
    reserved: Decimal


async def reserve(
    session: AsyncSession,
    reservation_id: UUID,
    *,
    organization_id: str,
    subject: str,
    about: About,
    wanted: Sequence[Wanted],
    lease: timedelta,
) -> Refusal | None:
    """All of it or nothing; None is yes."""
    given = {
        "id": reservation_id,
        "organization_id": organization_id,
        "subject": subject,
        "about": msgspec.json.encode(about).decode(),
        "wanted": msgspec.json.encode(wanted).decode(),
        "lease": lease,
    }
    refused = (await session.execute(RESERVE, given)).first()
    return None if refused is None else Refusal(*refused)


async def read_windows(
    session: AsyncSession, periods: Mapping[str, str], *, organization_id: str, subject: str
) -> dict[str, Window]:
    """The current window of each dimension in `periods`, by dimension; one in which nothing happened is there too."""
    given = {"dimensions": list(periods), "periods": list(periods.values())}
    found = await session.execute(READ, {**given, "organization_id": organization_id, "subject": subject})
    return {row.dimension: Window(*row) for row in found}


async def renew(session: AsyncSession, ids: Collection[UUID], *, lease: timedelta) -> None:
    await session.execute(RENEW, {"ids": sorted(ids), "lease": lease})


async def charge_expired(session: AsyncSession) -> list[Expired]:
    """Charges what was reserved by owners that did not renew; at most 500 at once."""
    rows = await session.execute(CHARGE_EXPIRED)
    return [
        Expired(
            row.id,
            row.organization_id,
            msgspec.json.decode(row.about, type=About),
            {hold.kind: hold.amount for hold in msgspec.json.decode(row.holds, type=list[Hold])},
        )
        for row in rows
    ]


async def forget(session: AsyncSession) -> None:
    """What no request can ask for again."""
    await session.execute(FORGET)
