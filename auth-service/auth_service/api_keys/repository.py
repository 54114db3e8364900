"""All SQL about API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.api_keys.models import ApiKey
from auth_service.organizations.models import Membership
from auth_service.users.models import User

NOTED_EVERY = timedelta(minutes=1)
"""How exact `last_used_at` is."""


@dataclass(frozen=True, slots=True)
class LiveKey:
    """A key that holds, with its owner's role today; `is_due` says that its use is to be noted."""

    key: ApiKey
    role: str
    seconds_left: int | None
    is_due: bool


def add_api_key(session: AsyncSession, key: ApiKey) -> None:
    session.add(key)


async def find_api_key(
    session: AsyncSession, key_id: str, *, organization_id: str, user_id: str | None, lock: bool = False
) -> ApiKey | None:
    """Of that organization, and of that user unless None. `lock` holds it until the transaction ends."""
    if "\0" in key_id:
        return None
    query = select(ApiKey).where(ApiKey.id == key_id, ApiKey.organization_id == organization_id)
    if user_id is not None:
        query = query.where(ApiKey.user_id == user_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return await session.scalar(query)


async def list_api_keys(
    session: AsyncSession, *, organization_id: str, user_id: str | None, before: str | None, limit: int
) -> Sequence[ApiKey]:
    """Newest first, those older than `before`; of that user unless None."""
    query = select(ApiKey).where(ApiKey.organization_id == organization_id)
    if user_id is not None:
        query = query.where(ApiKey.user_id == user_id)
    if before is not None:
        query = query.where(ApiKey.id < before)
    return (await session.scalars(query.order_by(ApiKey.id.desc()).limit(limit))).all()


async def find_live_key(session: AsyncSession, key_hash: bytes) -> LiveKey | None:
    """None where it was revoked or has expired, or where its owner is disabled or has left the organization.

    All of them stay as they are until the transaction ends: whoever revokes waits, so that a token which is made
    meanwhile counts as made before. They are locked in the order that `sessions.repository` tells.
    """
    now = func.now()
    found = await session.execute(
        select(
            ApiKey,
            Membership.role,
            func.extract("epoch", ApiKey.expires_at - now),
            or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now - NOTED_EVERY),
        )
        .join(User, User.id == ApiKey.user_id)
        .join(
            Membership,
            (Membership.user_id == ApiKey.user_id) & (Membership.organization_id == ApiKey.organization_id),
        )
        .where(
            ApiKey.key_hash == key_hash,
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
            User.disabled_at.is_(None),
        )
        .with_for_update(of=(User, Membership, ApiKey), read=True)
    )
    row = found.one_or_none()
    if row is None:
        return None
    key, role, left, is_due = row
    return LiveKey(key, role, None if left is None else int(left), is_due)


async def note_use(session: AsyncSession, key: ApiKey) -> None:
    """Does nothing where another replica has noted it within the last minute."""
    await session.execute(
        update(ApiKey)
        .where(
            ApiKey.id == key.id,
            ApiKey.organization_id == key.organization_id,
            or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - NOTED_EVERY),
        )
        .values(last_used_at=func.now())
    )
