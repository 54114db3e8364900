"""All SQL about audit events."""

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.models import AuditEvent


def add_audit_event(session: AsyncSession, event: AuditEvent) -> None:
    """Written with the transaction of what it tells; a refusal has a transaction of its own."""
    session.add(event)
