"""Table `chat.messages`."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chat_service.conversations.models import Conversation
from chat_service.tables import Base, CreatedAt

PARENT_OF_THE_CONVERSATION = "fk_messages_parent"


class Message(Base):
    """A node of its conversation's tree; the composite key keeps parent and child in one conversation.

    `content` is the text; `parts` holds everything else in the order in which it came. A running answer has neither:
    what it has said so far are its events. `trail` tells which event brought which piece (`running.trail`).
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("conversation_key", "id"),
        ForeignKeyConstraint(
            ["conversation_key", "parent_id"],
            ["chat.messages.conversation_key", "chat.messages.id"],
            name=PARENT_OF_THE_CONVERSATION,
            ondelete="CASCADE",
        ),
        Index(None, "conversation_key", "parent_id"),
        CheckConstraint("role IN ('user', 'assistant', 'system', 'tool')", name="role"),
        CheckConstraint("status IN ('completed', 'running', 'failed', 'interrupted', 'stopped')", name="status"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str]
    conversation_key: Mapped[UUID] = mapped_column(ForeignKey(Conversation.key, ondelete="CASCADE"))
    parent_id: Mapped[str | None]
    role: Mapped[str]
    content: Mapped[str] = mapped_column(Text)
    parts: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    status: Mapped[str]
    model: Mapped[str | None]
    provider: Mapped[str | None]
    usage: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    cost_usd: Mapped[Decimal | None]
    finish_reason: Mapped[str | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    generation_id: Mapped[str | None]
    trail: Mapped[bytes | None]
    feedback: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[CreatedAt]
