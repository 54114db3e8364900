"""Table `auth.signing_keys`."""

from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from auth_service.tables import Base, CreatedAt, Moment


class SigningKey(Base):
    """`sealed_private_key` opens only with SYNAPSCALE_SECRET_KEY (see `sealing`).

    It is published from the start, signs from `signs_from` until another key does, and is published until
    `retires_at`, when the last token that it signed has expired.
    """

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(primary_key=True)
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSONB)
    sealed_private_key: Mapped[bytes]
    created_at: Mapped[CreatedAt]
    signs_from: Mapped[CreatedAt]
    retires_at: Mapped[Moment | None]
