"""Table `auth.audit_events`."""

from typing import Any

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from auth_service.tables import Base, CreatedAt


class AuditEvent(Base):
    """No foreign keys: an event outlives whom it is about. A trigger of the database refuses changes."""

    __tablename__ = "audit_events"
    __table_args__ = (
        CheckConstraint("result IN ('success', 'failure')", name="result"),
        Index(None, "organization_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str | None]
    actor: Mapped[str | None]
    action: Mapped[str]
    target: Mapped[str | None]
    result: Mapped[str]
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    request_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[CreatedAt]
