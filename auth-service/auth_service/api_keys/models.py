"""Table `auth.api_keys`."""

from decimal import Decimal

from sqlalchemy import CheckConstraint, Index, Numeric, String
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from auth_service.tables import Base, CreatedAt, Moment, OrganizationId, UserId


class ApiKey(Base):
    """Only the SHA-256 of a key is kept. A limit that is null is none; `allowed_models` null allows all."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("budget_period IN ('day', 'week', 'month', 'total')", name="budget_period"),
        CheckConstraint("(budget_usd IS NULL) = (budget_period IS NULL)", name="budget"),
        Index(None, "organization_id", "user_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId]
    user_id: Mapped[UserId] = mapped_column(index=True)
    name: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    last_four: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    allowed_models: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    requests_per_minute: Mapped[int | None]
    tokens_per_minute: Mapped[int | None]
    concurrent_requests: Mapped[int | None]
    budget_usd: Mapped[Decimal | None] = mapped_column(Numeric)
    budget_period: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment | None]
    last_used_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]
    rotated_to: Mapped[str | None]
