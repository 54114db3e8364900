"""Tables `auth.sessions` and `auth.refresh_tokens`."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from auth_service.tables import Base, CreatedAt, Moment, OrganizationId, UserId


class LoginSession(Base):
    """One login: its refresh tokens are a family, its id is the `sid` of every access token made for it."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "user_id", "organization_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UserId]
    organization_id: Mapped[OrganizationId] = mapped_column(index=True)
    client_id: Mapped[str]
    scope: Mapped[str | None]
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment] = mapped_column(index=True)
    revoked_at: Mapped[Moment | None]


class RefreshToken(Base):
    """Only the SHA-256 of a token is kept. A successor is derived from its token, so it can be given once more."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("auth.sessions.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment]
    used_at: Mapped[Moment | None]
