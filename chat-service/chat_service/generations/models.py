"""Tables `chat.generations` and `chat.events`."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chat_service.tables import Base, CreatedAt, Moment

ONE_PER_CONVERSATION = "uq_generations_running"


class Generation(Base):
    """`owner` is the replica that runs it, for as long as it renews the lease before that expires.

    `stop_requested` is there for an owner that could not hear of it when it was asked.
    """

    __tablename__ = "generations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["conversation_key", "message_id"],
            ["chat.messages.conversation_key", "chat.messages.id"],
            name="fk_generations_message",
            ondelete="CASCADE",
        ),
        Index(None, "conversation_key", "message_id"),
        Index(ONE_PER_CONVERSATION, "conversation_key", unique=True, postgresql_where=text("status = 'running'")),
        Index(None, "lease_expires_at", postgresql_where=text("status = 'running'")),
        CheckConstraint(
            "status IN ('queued', 'running', 'completed', 'stopped', 'failed', 'interrupted')", name="status"
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str]
    user_id: Mapped[str]
    conversation_key: Mapped[UUID]
    message_id: Mapped[str]
    status: Mapped[str]
    owner: Mapped[str]
    lease_expires_at: Mapped[Moment]
    stop_requested: Mapped[bool] = mapped_column(server_default=false())
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[Moment | None]


class Event(Base):
    """What a running generation has said, as it was shown; gone when its answer is final.

    `data` is the JSON of the frame. The partition is that of the weekday (UTC) on which the generation began, so that
    all its events lie in one, and what crashes leave behind goes away with a TRUNCATE.
    """

    __tablename__ = "events"
    __table_args__ = (
        PrimaryKeyConstraint("generation_id", "sequence", "weekday"),
        {"postgresql_partition_by": "LIST (weekday)"},
    )

    generation_id: Mapped[str]
    sequence: Mapped[int]
    weekday: Mapped[int] = mapped_column(SmallInteger)
    type: Mapped[str]
    data: Mapped[str] = mapped_column(Text)
