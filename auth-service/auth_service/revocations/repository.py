"""All SQL about revocations."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.revocations.models import Revocation

LOCK = 0x73796E61_72766B65
"""Held until the commit, so that sequence numbers become visible in their order (`syna`, `rvke`)."""


async def wait_for_turn(session: AsyncSession) -> None:
    """Until the transactions that were first have ended; the next waits until this one has."""
    await session.execute(select(func.pg_advisory_xact_lock(LOCK)))


async def add_revocations(session: AsyncSession, subjects: Sequence[str], *, life: timedelta) -> None:
    """Only after `wait_for_turn`."""
    now = func.clock_timestamp()
    rows = [{"subject": subject} for subject in subjects]
    await session.execute(insert(Revocation).values(created_at=now, expires_at=now + life), rows)


async def list_revocations(session: AsyncSession, *, after: int, limit: int) -> Sequence[Revocation]:
    """Those with a higher sequence number, oldest first, without what has expired."""
    found = await session.scalars(
        select(Revocation)
        .where(Revocation.sequence > after, Revocation.expires_at > func.now())
        .order_by(Revocation.sequence)
        .limit(limit)
    )
    return found.all()


async def delete_expired_revocations(session: AsyncSession) -> None:
    await session.execute(delete(Revocation).where(Revocation.expires_at < func.now()))
