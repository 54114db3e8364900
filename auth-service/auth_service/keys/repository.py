"""All SQL about signing keys."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.keys.models import SigningKey


async def list_signing_keys(session: AsyncSession) -> Sequence[SigningKey]:
    """Newest first."""
    return (await session.scalars(select(SigningKey).order_by(SigningKey.created_at.desc(), SigningKey.kid))).all()
