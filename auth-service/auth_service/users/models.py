"""Table `auth.users`."""

from sqlalchemy import BigInteger, CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from auth_service.tables import Base, CreatedAt, Moment, OrganizationId, UserId


class User(Base):
    """Somebody who may own sessions and keys: a person, or a program (a service account).

    `username` and `email` are kept as `names.normalized` makes them, so that they are unique however they are typed.
    `organization_id` is the organization that made the user: its admins may disable or delete them, those of other
    organizations can only end a membership. Without a `password_hash` (service accounts, users of an external issuer)
    nobody can log in with a password.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("kind IN ('person', 'service')", name="kind"),
        Index(None, "organization_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId]
    kind: Mapped[str] = mapped_column(server_default="person")
    username: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    password_hash: Mapped[str | None]
    disabled_at: Mapped[Moment | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class ExternalIdentity(Base):
    """Who a user is at an external issuer: `subject` is unique there, and never given to anybody else."""

    __tablename__ = "external_identities"

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(index=True)
    claims_issued_at: Mapped[int] = mapped_column(BigInteger)
    """The `iat` of the token whose claims the role follows, the newest that was seen."""
    created_at: Mapped[CreatedAt]
