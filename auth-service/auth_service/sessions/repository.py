"""All SQL about sessions and refresh tokens.

Whoever locks more than one row does so in this order, in which the database deletes them too: the organization, the
user, the membership, the session or API key.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.organizations.models import Membership, Organization
from auth_service.sessions.models import LoginSession, RefreshToken
from auth_service.users.models import User
from auth_service.users.repository import Member


async def lock_member(session: AsyncSession, user_id: str, *, organization_id: str) -> Member | None:
    """The user in that organization, as they stay until the transaction ends: whoever disables them waits for it."""
    found = await session.execute(
        select(User, Organization, Membership.role)
        .join(Membership, Membership.user_id == User.id)
        .join(Organization, Organization.id == Membership.organization_id)
        .where(User.id == user_id, Membership.organization_id == organization_id)
        .with_for_update(read=True, of=[Organization, User, Membership])
        .execution_options(populate_existing=True)
    )
    row = found.one_or_none()
    return None if row is None else Member(*row)


async def find_session_of_token(session: AsyncSession, token_hash: bytes) -> LoginSession | None:
    return await session.scalar(
        select(LoginSession)
        .join(RefreshToken, RefreshToken.session_id == LoginSession.id)
        .where(RefreshToken.token_hash == token_hash)
    )


async def lock_family(
    session: AsyncSession, session_id: str, *, token_hash: bytes
) -> tuple[LoginSession, RefreshToken, datetime] | None:
    """The session, one of its refresh tokens, and the time: all as they are once nobody else can change them."""
    locked = select(LoginSession).where(LoginSession.id == session_id).with_for_update()
    login = await session.scalar(locked.execution_options(populate_existing=True))
    found = await session.execute(
        select(RefreshToken, func.clock_timestamp()).where(
            RefreshToken.token_hash == token_hash, RefreshToken.session_id == session_id
        )
    )
    row = found.one_or_none()
    return None if login is None or row is None else (login, row[0], row[1])


async def replace_refresh_token(session: AsyncSession, old: RefreshToken, *, by: RefreshToken, at: datetime) -> None:
    """Also deletes those of the session that have expired: shown again, they are refused as unknown ones are."""
    await session.execute(
        delete(RefreshToken).where(RefreshToken.session_id == old.session_id, RefreshToken.expires_at < at)
    )
    old.used_at = at
    session.add(by)
    await session.flush()


async def list_sessions(
    session: AsyncSession, user_id: str, *, before: str | None, limit: int
) -> Sequence[LoginSession]:
    """The user's own that last, whatever organization they are in; newest first."""
    query = select(LoginSession).where(LoginSession.user_id == user_id, _lasts())
    if before is not None:
        query = query.where(LoginSession.id < before)
    return (await session.scalars(query.order_by(LoginSession.id.desc()).limit(limit))).all()


async def end_session(session: AsyncSession, session_id: str, *, user_id: str) -> bool:
    """Whether it was one of the user's that lasted until now."""
    ended = await session.scalars(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.user_id == user_id, _lasts())
        .values(revoked_at=func.now())
        .returning(LoginSession.id)
    )
    return ended.first() is not None


async def end_sessions(
    session: AsyncSession, user_id: str, *, organization_id: str | None = None, but: str | None = None
) -> Sequence[str]:
    """All of the user's, or those in one organization; `but` is spared. Returns the ids of those that ended."""
    mine = select(LoginSession.id).where(LoginSession.user_id == user_id, _lasts())
    if organization_id is not None:
        mine = mine.where(LoginSession.organization_id == organization_id)
    if but is not None:
        mine = mine.where(LoginSession.id != but)
    in_order = mine.order_by(LoginSession.id).with_for_update()
    ended = await session.scalars(
        update(LoginSession)
        .where(LoginSession.id.in_(in_order.scalar_subquery()))
        .values(revoked_at=func.now())
        .returning(LoginSession.id)
    )
    return ended.all()


async def delete_expired_sessions(session: AsyncSession, *, at_most: int) -> int:
    """With their refresh tokens; how many there were. Passes by those that somebody else works on."""
    expired = (
        select(LoginSession.id)
        .where(LoginSession.expires_at < func.now())
        .order_by(LoginSession.expires_at)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    deleted = await session.scalars(
        delete(LoginSession).where(LoginSession.id.in_(expired.scalar_subquery())).returning(LoginSession.id)
    )
    return len(deleted.all())


def _lasts() -> ColumnElement[bool]:
    return LoginSession.revoked_at.is_(None) & (LoginSession.expires_at > func.now())
