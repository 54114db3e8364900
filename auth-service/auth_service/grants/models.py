"""Table `auth.grants`."""

from sqlalchemy import Index, String
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from auth_service.tables import Base, CreatedAt, Moment, OrganizationId, UserId


class Grant(Base):
    """`service` may have tokens for the user, with at most these scopes, while the grant and the user last.

    `source` is the session or API key (`sid`) that it was made with: when that one is revoked, the grant ends too.
    """

    __tablename__ = "grants"
    __table_args__ = (Index(None, "user_id", "organization_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str]
    user_id: Mapped[UserId]
    organization_id: Mapped[OrganizationId] = mapped_column(index=True)
    source: Mapped[str] = mapped_column(index=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment] = mapped_column(index=True)
    revoked_at: Mapped[Moment | None]
