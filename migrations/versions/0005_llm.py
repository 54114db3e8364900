"""Create the schema llm: requests, attempts, their sums, and what limits need."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | None = "0004"
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

WINDOW_START = """
CREATE FUNCTION llm.window_start(period text, moment timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN period = 'total' THEN 'epoch'::timestamptz ELSE date_trunc(period, moment, 'UTC') END
$$
"""
RESERVE = """
CREATE FUNCTION llm.reserve(
  p_id uuid, p_organization text, p_subject text, p_about jsonb, p_wanted jsonb, p_lease interval
) RETURNS TABLE (refused text, retry_after double precision, remaining numeric)
LANGUAGE plpgsql AS $$
DECLARE
  moment timestamptz := clock_timestamp();
BEGIN
  PERFORM 1 FROM llm.reservations r WHERE r.id = p_id;
  IF FOUND THEN RETURN; END IF;
  INSERT INTO llm.limit_windows (organization_id, subject, dimension, starts_at)
    SELECT p_organization, p_subject, w.dimension, llm.window_start(w.period, moment)
    FROM jsonb_to_recordset(p_wanted) AS w(dimension text, period text) ORDER BY w.dimension
    ON CONFLICT DO NOTHING;
  PERFORM 1 FROM llm.limit_windows l
    JOIN jsonb_to_recordset(p_wanted) AS w(dimension text, period text)
      ON l.dimension = w.dimension AND l.starts_at = llm.window_start(w.period, moment)
    WHERE l.organization_id = p_organization AND l.subject = p_subject
    ORDER BY l.dimension, l.starts_at FOR UPDATE OF l;
  RETURN QUERY
    SELECT w.dimension,
      CASE
        WHEN l.spent + w.amount <= w.ceiling THEN 1
        WHEN w.period = 'total' THEN 3600
        ELSE extract(epoch FROM l.starts_at + ('1 ' || w.period)::interval - moment)
      END::double precision,
      w.ceiling - l.spent - l.reserved
    FROM llm.limit_windows l
    JOIN jsonb_to_recordset(p_wanted) AS w(dimension text, period text, amount numeric, ceiling numeric)
      ON l.dimension = w.dimension AND l.starts_at = llm.window_start(w.period, moment)
    WHERE l.organization_id = p_organization AND l.subject = p_subject
      AND l.spent + l.reserved + w.amount > w.ceiling
    ORDER BY l.dimension LIMIT 1;
  IF FOUND THEN RETURN; END IF;
  UPDATE llm.limit_windows l SET reserved = l.reserved + w.amount
    FROM jsonb_to_recordset(p_wanted) AS w(dimension text, period text, amount numeric)
    WHERE l.organization_id = p_organization AND l.subject = p_subject AND l.dimension = w.dimension
      AND l.starts_at = llm.window_start(w.period, moment);
  INSERT INTO llm.reservations (id, organization_id, subject, about, holds, lease_until)
    SELECT p_id, p_organization, p_subject, p_about, jsonb_agg(jsonb_build_object(
      'dimension', w.dimension, 'kind', w.kind, 'starts_at', llm.window_start(w.period, moment), 'amount', w.amount
    )), moment + p_lease
    FROM jsonb_to_recordset(p_wanted) AS w(dimension text, kind text, period text, amount numeric);
END
$$
"""
MOVE = """
CREATE FUNCTION llm.move(p_changes jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM llm.limit_windows l
    WHERE (l.organization_id, l.subject, l.dimension, l.starts_at) IN (
      SELECT c.organization_id, c.subject, c.dimension, c.starts_at FROM jsonb_to_recordset(p_changes)
        AS c(organization_id text, subject text, dimension text, starts_at timestamptz))
    ORDER BY l.organization_id, l.subject, l.dimension, l.starts_at FOR UPDATE;
  UPDATE llm.limit_windows l SET spent = l.spent + c.spent, reserved = l.reserved + c.reserved
    FROM (
      SELECT e.organization_id, e.subject, e.dimension, e.starts_at, sum(e.spent) AS spent, sum(e.reserved) AS reserved
      FROM jsonb_to_recordset(p_changes) AS e(
        organization_id text, subject text, dimension text, starts_at timestamptz, spent numeric, reserved numeric)
      GROUP BY 1, 2, 3, 4
    ) c
    WHERE (l.organization_id, l.subject, l.dimension, l.starts_at)
      = (c.organization_id, c.subject, c.dimension, c.starts_at);
END
$$
"""
SETTLE = """
CREATE FUNCTION llm.settle(p_given jsonb) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
  changes jsonb;
  late uuid[];
BEGIN
  PERFORM 1 FROM llm.reservations r
    WHERE r.id IN (SELECT g.id FROM jsonb_to_recordset(p_given) AS g(id uuid)) ORDER BY r.id FOR UPDATE;
  WITH ended AS (
    DELETE FROM llm.reservations r USING jsonb_to_recordset(p_given) AS g(id uuid, usd numeric, tokens numeric)
    WHERE r.id = g.id RETURNING r.*, g.usd, g.tokens
  )
  SELECT
    jsonb_agg(jsonb_build_object(
      'organization_id', e.organization_id, 'subject', e.subject, 'dimension', h.dimension, 'starts_at', h.starts_at,
      'reserved', CASE WHEN e.charged_at IS NULL THEN -h.amount ELSE 0 END,
      'spent', CASE h.kind WHEN 'usd' THEN coalesce(e.usd, h.amount) WHEN 'tokens' THEN e.tokens ELSE 0 END
        - CASE WHEN e.charged_at IS NULL OR h.kind = 'slots' THEN 0 ELSE h.amount END
    )),
    array_agg(DISTINCT e.id) FILTER (WHERE e.charged_at IS NOT NULL)
    INTO changes, late
    FROM ended e, jsonb_to_recordset(e.holds) AS h(dimension text, kind text, starts_at timestamptz, amount numeric);
  IF changes IS NOT NULL THEN PERFORM llm.move(changes); END IF;
  RETURN late;
END
$$
"""
CHARGE_EXPIRED = """
CREATE FUNCTION llm.charge_expired() RETURNS SETOF llm.reservations LANGUAGE plpgsql AS $$
DECLARE
  changes jsonb;
  charged uuid[];
BEGIN
  SELECT array_agg(d.id) INTO charged FROM (
    SELECT r.id FROM llm.reservations r WHERE r.lease_until < now() AND r.charged_at IS NULL
    ORDER BY r.id LIMIT 500 FOR UPDATE SKIP LOCKED
  ) d;
  IF charged IS NULL THEN RETURN; END IF;
  SELECT jsonb_agg(jsonb_build_object(
      'organization_id', r.organization_id, 'subject', r.subject, 'dimension', h.dimension, 'starts_at', h.starts_at,
      'reserved', -h.amount, 'spent', CASE h.kind WHEN 'slots' THEN 0 ELSE h.amount END
    )) INTO changes
    FROM llm.reservations r, jsonb_to_recordset(r.holds)
      AS h(dimension text, kind text, starts_at timestamptz, amount numeric)
    WHERE r.id = ANY(charged);
  PERFORM llm.move(changes);
  RETURN QUERY UPDATE llm.reservations r SET charged_at = now() WHERE r.id = ANY(charged) RETURNING r.*;
END
$$
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA llm")
    _create_requests()
    _create_attempts()
    for table in ("usage_hours", "usage_days"):
        _create_sums(table)
    for table in ("user_usage_hours", "user_usage_days"):
        _create_sums(table, "user_id", "key_id")
    _create_limits()
    for function in (WINDOW_START, RESERVE, MOVE, SETTLE, CHARGE_EXPIRED):
        op.execute(function)


def downgrade() -> None:
    op.execute("DROP SCHEMA llm CASCADE")  # its functions and tables are nobody else's


def _words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _tokens(names: Sequence[str] = TOKENS) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in names]


def _moment(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _create_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_words("organization_id", "user_id", "session_id"),
        sa.Column("key_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        *_words("source", "request_id", "model_asked"),
        sa.Column("model", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("provider", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        *_tokens(),
        sa.Column("cost_usd", sa.Numeric(), nullable=True),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("first_content_ms", sa.Float(), nullable=True),
        sa.Column("total_ms", sa.Float(), nullable=False),
        sa.Column("overhead_ms", sa.Float(), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        schema="llm",
    )
    for columns in (["organization_id", "id"], ["organization_id", "user_id", "id"]):
        op.create_index(op.f("ix_requests_" + "_".join(columns)), "requests", columns, unique=False, schema="llm")
    op.create_index("ix_requests_created_at", "requests", ["created_at"], schema="llm", postgresql_using="brin")


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        *_words("organization_id", "model", "provider"),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        *_tokens(),
        sa.Column("cost_usd", sa.Numeric(), nullable=True),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("first_content_ms", sa.Float(), nullable=True),
        sa.Column("total_ms", sa.Float(), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("request_id", "number", name=op.f("pk_attempts")),
        schema="llm",
    )


def _create_sums(table: str, *users: str) -> None:
    key = ("organization_id", "starts_at", "model", "provider", *users)
    op.create_table(
        table,
        *_words("organization_id"),
        _moment("starts_at"),
        *_words("model", "provider", *users),
        *_tokens(COUNTS),
        sa.Column("cost_usd", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        *_tokens(),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
        schema="llm",
    )
    op.execute(f"ALTER TABLE llm.{table} SET (fillfactor = 80)")  # room to update a row where it lies


def _create_limits() -> None:
    op.create_table(
        "limit_windows",
        *_words("organization_id", "subject", "dimension"),
        _moment("starts_at"),
        sa.Column("spent", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column("reserved", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "subject", "dimension", "starts_at", name=op.f("pk_limit_windows")),
        schema="llm",
    )
    op.execute("ALTER TABLE llm.limit_windows SET (fillfactor = 50)")
    op.create_table(
        "reservations",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_words("organization_id", "subject"),
        sa.Column("about", postgresql.JSONB(), nullable=False),
        sa.Column("holds", postgresql.JSONB(), nullable=False),
        _moment("lease_until"),
        _moment("charged_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
        schema="llm",
    )
    op.create_index(
        "ix_reservations_lease_until",
        "reservations",
        ["lease_until"],
        schema="llm",
        postgresql_where=sa.text("charged_at IS NULL"),
    )
