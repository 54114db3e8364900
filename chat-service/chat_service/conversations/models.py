"""Table `chat.conversations`."""

from typing import Any
from uuid import UUID

from sqlalchemy import Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chat_service.tables import Base, CreatedAt


class Conversation(Base):
    """`id` is the client's to choose, so it is unique per owner only; other tables refer to `key`.

    `leaf_id` is the last message of the active branch. It is not found by sorting ids, because the clocks of two
    replicas may differ; and it is no foreign key, because messages already refer to conversations.
    """

    __tablename__ = "conversations"
    __table_args__ = (
        UniqueConstraint("organization_id", "user_id", "id"),
        Index(None, "organization_id", "user_id", "updated_at", "key"),
    )

    key: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str]
    organization_id: Mapped[str]
    user_id: Mapped[str]
    title: Mapped[str | None]
    model: Mapped[str | None]
    system_prompt: Mapped[str | None] = mapped_column(Text)
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    folder: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=text("'{}'"))
    pinned: Mapped[bool] = mapped_column(server_default=false())
    archived: Mapped[bool] = mapped_column(server_default=false())
    leaf_id: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
