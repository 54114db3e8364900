"""Table `auth.revocations`."""

from sqlalchemy import BigInteger, Identity
from sqlalchemy.orm import Mapped, mapped_column

from auth_service.tables import Base, CreatedAt, Moment


class Revocation(Base):
    """Access tokens of `subject` that were issued until `created_at` do not count any more.

    `subject` is a session (`ses_…`), an API key (`key_…`), a user (`usr_…`), or a user in one organization
    (`usr_…/org_…`). Rows are of no use after `expires_at`, when the last such token has expired by itself.
    """

    __tablename__ = "revocations"

    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    subject: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment] = mapped_column(index=True)
