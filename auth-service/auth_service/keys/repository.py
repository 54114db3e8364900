"""All SQL about signing keys."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.keys.models import SigningKey

LOCK = 0x73796E61_6B657973
"""The advisory lock of whoever rotates (`syna`, `keys`)."""


async def list_signing_keys(session: AsyncSession) -> Sequence[SigningKey]:
    """Newest first."""
    return (await session.scalars(select(SigningKey).order_by(SigningKey.created_at.desc(), SigningKey.kid))).all()


async def add_signing_key(session: AsyncSession, key: SigningKey) -> None:
    session.add(key)
    await session.flush()


async def lock_signing_keys(session: AsyncSession) -> None:
    """One rotation after the other, until the transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock(LOCK)))


async def database_time(session: AsyncSession) -> datetime:
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def retire_signing_keys(session: AsyncSession, *, at: datetime) -> None:
    """All that there are, unless they retire before."""
    await session.execute(update(SigningKey).values(retires_at=func.least(SigningKey.retires_at, at)))


async def delete_retired_signing_keys(session: AsyncSession, *, after: timedelta) -> None:
    """Those that have been retired for so long."""
    await session.execute(delete(SigningKey).where(SigningKey.retires_at < func.now() - after))
