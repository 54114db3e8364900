"""The table `idempotency_keys` that a service has in its schema: `class IdempotencyKey(StoredAnswer, Base)`."""

from datetime import datetime

from sqlalchemy import DateTime, func
from sqlalchemy.orm import Mapped, mapped_column


class StoredAnswer:
    """What a user's key on a route has made; written in the transaction that made it.

    `body` is null where the answer held a secret, or is read again from what was made.
    """

    __tablename__ = "idempotency_keys"

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    body: Mapped[bytes | None]
    created_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)
