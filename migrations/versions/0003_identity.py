"""Add what identity needs: sessions, API keys, grants, revocations, audit; users belong to an organization."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

FIRST_MEMBERSHIP = """
UPDATE auth.users SET organization_id = (
    SELECT organization_id FROM auth.memberships WHERE user_id = users.id ORDER BY created_at, organization_id LIMIT 1
)
"""
REFUSE_CHANGE = """
CREATE FUNCTION auth.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'auth.audit_events is append-only';
END $$
"""
APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON auth.audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION auth.refuse_change()
"""


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=True),
        sa.Column("actor", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("user_agent", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("result IN ('success', 'failure')", name=op.f("ck_audit_events_result")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
        schema="auth",
    )
    op.create_index(
        op.f("ix_audit_events_organization_id_id"),
        "audit_events",
        ["organization_id", "id"],
        unique=False,
        schema="auth",
    )
    op.create_table(
        "login_throttles",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_login_throttles")),
        schema="auth",
    )
    op.create_index(op.f("ix_login_throttles_failed_at"), "login_throttles", ["failed_at"], unique=False, schema="auth")
    op.create_table(
        "revocations",
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_revocations")),
        schema="auth",
    )
    op.create_index(op.f("ix_revocations_expires_at"), "revocations", ["expires_at"], unique=False, schema="auth")
    op.create_table(
        "invitations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('owner', 'admin', 'developer', 'member', 'viewer')", name=op.f("ck_invitations_role")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["auth.organizations.id"],
            name=op.f("fk_invitations_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitations_token_hash")),
        schema="auth",
    )
    op.create_index(
        op.f("ix_invitations_organization_id"), "invitations", ["organization_id"], unique=False, schema="auth"
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("last_four", sa.String(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("allowed_models", postgresql.ARRAY(sa.String()), nullable=True),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("tokens_per_minute", sa.Integer(), nullable=True),
        sa.Column("concurrent_requests", sa.Integer(), nullable=True),
        sa.Column("budget_usd", sa.Numeric(), nullable=True),
        sa.Column("budget_period", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rotated_to", sa.String(), nullable=True),
        sa.CheckConstraint(
            "budget_period IN ('day', 'week', 'month', 'total')", name=op.f("ck_api_keys_budget_period")
        ),
        sa.CheckConstraint("(budget_usd IS NULL) = (budget_period IS NULL)", name=op.f("ck_api_keys_budget")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["auth.organizations.id"],
            name=op.f("fk_api_keys_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["auth.users.id"], name=op.f("fk_api_keys_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
        schema="auth",
    )
    op.create_index(
        op.f("ix_api_keys_organization_id_user_id_id"),
        "api_keys",
        ["organization_id", "user_id", "id"],
        unique=False,
        schema="auth",
    )
    op.create_index(op.f("ix_api_keys_user_id"), "api_keys", ["user_id"], unique=False, schema="auth")
    op.create_table(
        "external_identities",
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("claims_issued_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["auth.organizations.id"],
            name=op.f("fk_external_identities_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["auth.users.id"], name=op.f("fk_external_identities_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", "organization_id", name=op.f("pk_external_identities")),
        schema="auth",
    )
    op.create_index(
        op.f("ix_external_identities_user_id"), "external_identities", ["user_id"], unique=False, schema="auth"
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["auth.organizations.id"],
            name=op.f("fk_grants_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["auth.users.id"], name=op.f("fk_grants_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        schema="auth",
    )
    op.create_index(op.f("ix_grants_expires_at"), "grants", ["expires_at"], unique=False, schema="auth")
    op.create_index(op.f("ix_grants_organization_id"), "grants", ["organization_id"], unique=False, schema="auth")
    op.create_index(op.f("ix_grants_source"), "grants", ["source"], unique=False, schema="auth")
    op.create_index(
        op.f("ix_grants_user_id_organization_id"), "grants", ["user_id", "organization_id"], unique=False, schema="auth"
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("user_agent", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["auth.organizations.id"],
            name=op.f("fk_sessions_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["auth.users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        schema="auth",
    )
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False, schema="auth")
    op.create_index(op.f("ix_sessions_organization_id"), "sessions", ["organization_id"], unique=False, schema="auth")
    op.create_index(
        op.f("ix_sessions_user_id_organization_id_id"),
        "sessions",
        ["user_id", "organization_id", "id"],
        unique=False,
        schema="auth",
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["auth.sessions.id"], name=op.f("fk_refresh_tokens_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
        schema="auth",
    )
    op.create_index(op.f("ix_refresh_tokens_session_id"), "refresh_tokens", ["session_id"], unique=False, schema="auth")
    op.add_column(
        "signing_keys",
        sa.Column("signs_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        schema="auth",
    )
    op.add_column("signing_keys", sa.Column("retires_at", sa.DateTime(timezone=True), nullable=True), schema="auth")
    op.add_column("users", sa.Column("organization_id", sa.String(), nullable=True), schema="auth")
    op.execute(FIRST_MEMBERSHIP)
    op.alter_column("users", "organization_id", nullable=False, schema="auth")
    op.add_column("users", sa.Column("kind", sa.String(), server_default="person", nullable=False), schema="auth")
    op.create_check_constraint(op.f("ck_users_kind"), "users", "kind IN ('person', 'service')", schema="auth")
    op.alter_column("users", "password_hash", nullable=True, schema="auth")
    op.execute(REFUSE_CHANGE)
    op.execute(APPEND_ONLY)
    op.drop_index(op.f("ix_memberships_organization_id"), table_name="memberships", schema="auth")
    op.create_index(
        op.f("ix_memberships_organization_id_user_id"),
        "memberships",
        ["organization_id", "user_id"],
        unique=False,
        schema="auth",
    )
    op.create_index(
        op.f("ix_users_organization_id_id"), "users", ["organization_id", "id"], unique=False, schema="auth"
    )
    op.create_foreign_key(
        op.f("fk_users_organization_id_organizations"),
        "users",
        "organizations",
        ["organization_id"],
        ["id"],
        source_schema="auth",
        referent_schema="auth",
        ondelete="CASCADE",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("fk_users_organization_id_organizations"), "users", schema="auth", type_="foreignkey")
    op.drop_index(op.f("ix_users_organization_id_id"), table_name="users", schema="auth")
    op.drop_index(op.f("ix_memberships_organization_id_user_id"), table_name="memberships", schema="auth")
    op.create_index(
        op.f("ix_memberships_organization_id"), "memberships", ["organization_id"], unique=False, schema="auth"
    )
    op.execute("DELETE FROM auth.users WHERE password_hash IS NULL")  # the older version cannot keep them
    op.alter_column("users", "password_hash", nullable=False, schema="auth")
    op.drop_constraint(op.f("ck_users_kind"), "users", schema="auth", type_="check")
    op.drop_column("users", "kind", schema="auth")
    op.drop_column("users", "organization_id", schema="auth")
    op.drop_column("signing_keys", "retires_at", schema="auth")
    op.drop_column("signing_keys", "signs_from", schema="auth")
    op.drop_index(op.f("ix_refresh_tokens_session_id"), table_name="refresh_tokens", schema="auth")
    op.drop_table("refresh_tokens", schema="auth")
    op.drop_index(op.f("ix_sessions_user_id_organization_id_id"), table_name="sessions", schema="auth")
    op.drop_index(op.f("ix_sessions_organization_id"), table_name="sessions", schema="auth")
    op.drop_index(op.f("ix_sessions_expires_at"), table_name="sessions", schema="auth")
    op.drop_table("sessions", schema="auth")
    op.drop_index(op.f("ix_grants_user_id_organization_id"), table_name="grants", schema="auth")
    op.drop_index(op.f("ix_grants_source"), table_name="grants", schema="auth")
    op.drop_index(op.f("ix_grants_organization_id"), table_name="grants", schema="auth")
    op.drop_index(op.f("ix_grants_expires_at"), table_name="grants", schema="auth")
    op.drop_table("grants", schema="auth")
    op.drop_index(op.f("ix_external_identities_user_id"), table_name="external_identities", schema="auth")
    op.drop_table("external_identities", schema="auth")
    op.drop_index(op.f("ix_api_keys_user_id"), table_name="api_keys", schema="auth")
    op.drop_index(op.f("ix_api_keys_organization_id_user_id_id"), table_name="api_keys", schema="auth")
    op.drop_table("api_keys", schema="auth")
    op.drop_index(op.f("ix_invitations_organization_id"), table_name="invitations", schema="auth")
    op.drop_table("invitations", schema="auth")
    op.drop_index(op.f("ix_revocations_expires_at"), table_name="revocations", schema="auth")
    op.drop_table("revocations", schema="auth")
    op.drop_index(op.f("ix_login_throttles_failed_at"), table_name="login_throttles", schema="auth")
    op.drop_table("login_throttles", schema="auth")
    op.drop_index(op.f("ix_audit_events_organization_id_id"), table_name="audit_events", schema="auth")
    op.drop_table("audit_events", schema="auth")
    op.execute("DROP FUNCTION auth.refuse_change()")
