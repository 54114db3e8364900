"""Tables `auth.organizations`, `auth.memberships` and `auth.invitations`."""

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from auth_service.organizations.roles import ROLES
from auth_service.tables import Base, CreatedAt, Moment, OrganizationId

_KNOWN_ROLE = f"role IN ({', '.join(repr(role) for role in ROLES)})"


class Organization(Base):
    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[CreatedAt]


class Membership(Base):
    __tablename__ = "memberships"
    __table_args__ = (CheckConstraint(_KNOWN_ROLE, name="role"), Index(None, "organization_id", "user_id"))

    user_id: Mapped[str] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"), primary_key=True)
    organization_id: Mapped[str] = mapped_column(
        ForeignKey("auth.organizations.id", ondelete="CASCADE"), primary_key=True
    )
    role: Mapped[str]
    created_at: Mapped[CreatedAt]


class Invitation(Base):
    """Lets whoever shows the token register once, into this organization and role; only the token's hash is kept."""

    __tablename__ = "invitations"
    __table_args__ = (CheckConstraint(_KNOWN_ROLE, name="role"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId] = mapped_column(index=True)
    role: Mapped[str]
    email: Mapped[str | None]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment]
    accepted_at: Mapped[Moment | None]
