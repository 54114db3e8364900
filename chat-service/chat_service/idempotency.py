"""`Idempotency-Key` on the routes that create: table `chat.idempotency_keys`."""

from typing import Annotated

from fastapi import Depends

from chat_service.tables import Base
from shared import idempotency


class IdempotencyKey(idempotency.StoredAnswer, Base):
    """What users have created here within the last 24 hours, by their own keys."""


RequestKey = Annotated[idempotency.Key | None, Depends(idempotency.key_of(IdempotencyKey))]
Once = Annotated[idempotency.Once, Depends(idempotency.once_of(IdempotencyKey))]
