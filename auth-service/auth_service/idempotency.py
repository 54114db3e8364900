"""`Idempotency-Key` on the routes that create: table `auth.idempotency_keys`."""

from typing import Annotated

from fastapi import Depends

from auth_service.tables import Base
from shared import idempotency


class IdempotencyKey(idempotency.StoredAnswer, Base):
    """What users have created here within the last 24 hours, by their own keys."""


Once = Annotated[idempotency.Once, Depends(idempotency.once_of(IdempotencyKey))]
"""In a route that creates: `return await once(users.create(body, by=admin))`, `once.with_secret(…)` for secrets."""
