"""Keep what answers say as events, and let conversations be settled, sorted and put away."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

CONVERSATION_COLUMNS = ("system_prompt", "settings", "folder", "tags", "pinned", "archived")


def upgrade() -> None:
    no, nothing = sa.text("false"), sa.text("'{}'")
    for column in (
        sa.Column("system_prompt", sa.Text(), nullable=True),
        sa.Column("settings", postgresql.JSONB(), server_default=nothing, nullable=False),
        sa.Column("folder", sa.String(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.String()), server_default=nothing, nullable=False),
        sa.Column("pinned", sa.Boolean(), server_default=no, nullable=False),
        sa.Column("archived", sa.Boolean(), server_default=no, nullable=False),
    ):
        op.add_column("conversations", column, schema="chat")
    op.add_column("messages", sa.Column("trail", sa.LargeBinary(), nullable=True), schema="chat")
    op.add_column("messages", sa.Column("feedback", postgresql.JSONB(none_as_null=True), nullable=True), schema="chat")
    op.add_column(
        "generations",
        sa.Column("stop_requested", sa.Boolean(), server_default=no, nullable=False),
        schema="chat",
    )
    op.create_table(
        "events",
        sa.Column("generation_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("weekday", sa.SmallInteger(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "sequence", "weekday", name=op.f("pk_events")),
        schema="chat",
        postgresql_partition_by="LIST (weekday)",
    )
    for day in range(7):
        op.execute(f"CREATE TABLE chat.events_{day} PARTITION OF chat.events FOR VALUES IN ({day})")


def downgrade() -> None:
    op.drop_table("events", schema="chat")
    op.drop_column("generations", "stop_requested", schema="chat")
    for column in ("feedback", "trail"):
        op.drop_column("messages", column, schema="chat")
    for column in reversed(CONVERSATION_COLUMNS):
        op.drop_column("conversations", column, schema="chat")
