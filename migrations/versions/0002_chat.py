"""Create the schema chat."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA chat")
    op.create_table(
        "conversations",
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("leaf_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_conversations")),
        sa.UniqueConstraint(
            "organization_id", "user_id", "id", name=op.f("uq_conversations_organization_id_user_id_id")
        ),
        schema="chat",
    )
    op.create_index(
        op.f("ix_conversations_organization_id_user_id_updated_at_key"),
        "conversations",
        ["organization_id", "user_id", "updated_at", "key"],
        unique=False,
        schema="chat",
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("conversation_key", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("parts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("usage", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("cost_usd", sa.Numeric(), nullable=True),
        sa.Column("finish_reason", sa.String(), nullable=True),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("generation_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('user', 'assistant', 'system', 'tool')", name=op.f("ck_messages_role")),
        sa.CheckConstraint(
            "status IN ('completed', 'running', 'failed', 'interrupted', 'stopped')", name=op.f("ck_messages_status")
        ),
        sa.ForeignKeyConstraint(
            ["conversation_key", "parent_id"],
            ["chat.messages.conversation_key", "chat.messages.id"],
            name="fk_messages_parent",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["conversation_key"],
            ["chat.conversations.key"],
            name=op.f("fk_messages_conversation_key_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("conversation_key", "id", name=op.f("uq_messages_conversation_key_id")),
        schema="chat",
    )
    op.create_index(
        op.f("ix_messages_conversation_key_parent_id"),
        "messages",
        ["conversation_key", "parent_id"],
        unique=False,
        schema="chat",
    )
    op.create_table(
        "generations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("conversation_key", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'completed', 'stopped', 'failed', 'interrupted')",
            name=op.f("ck_generations_status"),
        ),
        sa.ForeignKeyConstraint(
            ["conversation_key", "message_id"],
            ["chat.messages.conversation_key", "chat.messages.id"],
            name="fk_generations_message",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generations")),
        schema="chat",
    )
    op.create_index(
        op.f("ix_generations_conversation_key_message_id"),
        "generations",
        ["conversation_key", "message_id"],
        unique=False,
        schema="chat",
    )
    op.create_index(
        op.f("ix_generations_lease_expires_at"),
        "generations",
        ["lease_expires_at"],
        unique=False,
        schema="chat",
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "uq_generations_running",
        "generations",
        ["conversation_key"],
        unique=True,
        schema="chat",
        postgresql_where=sa.text("status = 'running'"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_generations_running",
        table_name="generations",
        schema="chat",
        postgresql_where=sa.text("status = 'running'"),
    )
    op.drop_index(
        op.f("ix_generations_lease_expires_at"),
        table_name="generations",
        schema="chat",
        postgresql_where=sa.text("status = 'running'"),
    )
    op.drop_index(op.f("ix_generations_conversation_key_message_id"), table_name="generations", schema="chat")
    op.drop_table("generations", schema="chat")
    op.drop_index(op.f("ix_messages_conversation_key_parent_id"), table_name="messages", schema="chat")
    op.drop_table("messages", schema="chat")
    op.drop_index(
        op.f("ix_conversations_organization_id_user_id_updated_at_key"), table_name="conversations", schema="chat"
    )
    op.drop_table("conversations", schema="chat")
    op.execute("DROP SCHEMA chat")
