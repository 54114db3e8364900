"""All SQL of single requests."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from llm_service.ledger.models import LedgerAttempt, LedgerRequest


class Narrowed(TypedDict):
    """None is everything."""

    user_id: str | None
    key_id: str | None
    model: str | None
    result: str | None
    request_id: str | None


async def list_requests(
    session: AsyncSession,
    narrowed: Narrowed,
    *,
    organization_id: str,
    only_of: str | None,
    since: datetime | None,
    until: datetime | None,
    before: UUID | None,
    limit: int,
) -> Sequence[LedgerRequest]:
    """Newest first, those that come after the id `before` in that order. Ids tell the time, so the index finds it."""
    query = select(LedgerRequest).where(LedgerRequest.organization_id == organization_id)
    if only_of is not None:
        query = query.where(LedgerRequest.user_id == only_of)
    for name, value in narrowed.items():
        if value is not None:
            query = query.where(getattr(LedgerRequest, name) == value)
    if since is not None:
        query = query.where(LedgerRequest.id >= _first_id(since))
    if until is not None:
        query = query.where(LedgerRequest.id < _first_id(until))
    if before is not None:
        query = query.where(LedgerRequest.id < before)
    return (await session.scalars(query.order_by(LedgerRequest.id.desc()).limit(limit))).all()


async def find_request(
    session: AsyncSession, request_id: UUID, *, organization_id: str, only_of: str | None
) -> LedgerRequest | None:
    query = select(LedgerRequest).where(
        LedgerRequest.organization_id == organization_id, LedgerRequest.id == request_id
    )
    if only_of is not None:
        query = query.where(LedgerRequest.user_id == only_of)
    return await session.scalar(query)


async def list_attempts(session: AsyncSession, request_id: UUID, *, organization_id: str) -> Sequence[LedgerAttempt]:
    query = select(LedgerAttempt).where(
        LedgerAttempt.organization_id == organization_id, LedgerAttempt.request_id == request_id
    )
    return (await session.scalars(query.order_by(LedgerAttempt.number))).all()


def _first_id(moment: datetime) -> UUID:
    """No UUIDv7 of that millisecond sorts before it."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
