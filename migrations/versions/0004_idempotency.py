"""Keep the answers to requests with an Idempotency-Key."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMAS = ("auth", "chat")


def upgrade() -> None:
    for schema in SCHEMAS:
        op.create_table(
            "idempotency_keys",
            sa.Column("organization_id", sa.String(), nullable=False),
            sa.Column("user_id", sa.String(), nullable=False),
            sa.Column("route", sa.String(), nullable=False),
            sa.Column("key", sa.String(), nullable=False),
            sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
            sa.Column("status", sa.Integer(), nullable=False),
            sa.Column("body", sa.LargeBinary(), nullable=True),
            sa.Column("created_id", sa.String(), nullable=True),
            sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
            sa.PrimaryKeyConstraint("organization_id", "user_id", "route", "key", name=op.f("pk_idempotency_keys")),
            schema=schema,
        )
        op.create_index(
            op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False, schema=schema
        )


def downgrade() -> None:
    for schema in SCHEMAS:
        op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys", schema=schema)
        op.drop_table("idempotency_keys", schema=schema)
