"""Table `auth.login_throttles`."""

from sqlalchemy.orm import Mapped, mapped_column

from auth_service.tables import Base, Moment


class LoginThrottle(Base):
    """Failures of one account (whether it exists or not) or of one address; `key` is a hash, as people mistype."""

    __tablename__ = "login_throttles"

    key: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int]
    failed_at: Mapped[Moment] = mapped_column(index=True)
    blocked_until: Mapped[Moment]
