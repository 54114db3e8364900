"""All SQL about audit events."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.models import AuditEvent


class Narrowed(TypedDict):
    """What a list is narrowed to; None is everything."""

    action: str | None
    actor: str | None
    target: str | None
    result: str | None
    since: datetime | None
    until: datetime | None


def add_audit_event(session: AsyncSession, event: AuditEvent) -> None:
    """Written with the transaction of what it tells; a refusal has a transaction of its own."""
    session.add(event)


async def list_audit_events(
    session: AsyncSession, wanted: Narrowed, *, organization_id: str, limit: int, before: str | None
) -> Sequence[AuditEvent]:
    """Newest first, those that come after the id `before` in that order."""
    query = select(AuditEvent).where(AuditEvent.organization_id == organization_id)
    for name in ("action", "actor", "target", "result"):
        if (value := wanted[name]) is not None:
            query = query.where(getattr(AuditEvent, name) == value)
    if wanted["since"] is not None:
        query = query.where(AuditEvent.created_at >= wanted["since"])
    if wanted["until"] is not None:
        query = query.where(AuditEvent.created_at < wanted["until"])
    if before is not None:
        query = query.where(AuditEvent.id < before)
    return (await session.scalars(query.order_by(AuditEvent.id.desc()).limit(limit))).all()
