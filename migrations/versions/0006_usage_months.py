"""Sum up usage by month and user, read users' sums by user, and take the ledger's rows as they are told."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

TOKENS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)
COUNTS = ("requests", "failed", "cached", "attempts", "estimated", "unpriced")
USER_KEY = ("organization_id", "starts_at", "user_id", "key_id", "model", "provider")
OLD_USER_KEY = ("organization_id", "starts_at", "model", "provider", "user_id", "key_id")
USER_TABLES = ("user_usage_hours", "user_usage_days")

TOLD_USAGE = f"CREATE TYPE llm.told_usage AS ({', '.join(f'{name} bigint' for name in TOKENS)}, estimated boolean)"
TOLD_ATTEMPT = """
CREATE TYPE llm.told_attempt AS (
  number integer, model text, provider text, key text, result text, error text, status integer, usage llm.told_usage,
  cost_usd numeric, first_content_ms double precision, total_ms double precision, created_at timestamptz
)
"""
TOLD_REQUEST = """
CREATE TYPE llm.told_request AS (
  id uuid, organization_id text, user_id text, session_id text, key_id text, source text, request_id text,
  model_asked text, model text, provider text, stream boolean, result text, error text, cached boolean,
  first_content_ms double precision, total_ms double precision, overhead_ms double precision, created_at timestamptz,
  attempts llm.told_attempt[]
)
"""


def upgrade() -> None:
    for statement in (TOLD_USAGE, TOLD_ATTEMPT, TOLD_REQUEST):
        op.execute(statement)
    _key("requests", "organization_id", "id")
    op.drop_index(op.f("ix_requests_organization_id_id"), table_name="requests", schema="llm")
    op.drop_index("ix_requests_created_at", table_name="requests", schema="llm")
    for table in USER_TABLES:
        _key(table, *USER_KEY)
    _create_months()
    _fill_months()


def downgrade() -> None:
    op.drop_table("user_usage_months", schema="llm")
    for table in USER_TABLES:
        _key(table, *OLD_USER_KEY)
    op.create_index("ix_requests_created_at", "requests", ["created_at"], schema="llm", postgresql_using="brin")
    op.create_index(op.f("ix_requests_organization_id_id"), "requests", ["organization_id", "id"], schema="llm")
    _key("requests", "id")
    for name in ("request", "attempt", "usage"):
        op.execute(f"DROP TYPE llm.told_{name}")


def _key(table: str, *columns: str) -> None:
    op.drop_constraint(op.f(f"pk_{table}"), table, schema="llm", type_="primary")
    op.create_primary_key(op.f(f"pk_{table}"), table, list(columns), schema="llm")


def _create_months() -> None:
    op.create_table(
        "user_usage_months",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("model", "provider", "user_id", "key_id")],
        *[sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in COUNTS],
        sa.Column("cost_usd", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        *[sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in TOKENS],
        sa.PrimaryKeyConstraint(*USER_KEY, name=op.f("pk_user_usage_months")),
        schema="llm",
    )
    op.execute("ALTER TABLE llm.user_usage_months SET (fillfactor = 80)")


def _fill_months() -> None:
    added = (*COUNTS, "cost_usd", *TOKENS)
    op.execute(
        f"""
        INSERT INTO llm.user_usage_months ({", ".join((*USER_KEY, *added))})
        SELECT organization_id, date_trunc('month', starts_at, 'UTC'), user_id, key_id, model, provider,
          {", ".join(f"sum({name})" for name in added)}
        FROM llm.user_usage_days GROUP BY 1, 2, 3, 4, 5, 6
        """  # noqa: S608 # of names in this file
    )
