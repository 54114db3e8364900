"""Table `auth.users`."""

from sqlalchemy.orm import Mapped, mapped_column

from auth_service.tables import Base, CreatedAt, Moment


class User(Base):
    """`username` is kept as `names.normalized` makes it, so that it is unique however it is typed."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    display_name: Mapped[str | None]
    password_hash: Mapped[str]
    disabled_at: Mapped[Moment | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
