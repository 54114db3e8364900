"""All SQL about grants, and about what they rest on."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.api_keys.models import ApiKey
from auth_service.grants.models import Grant
from auth_service.organizations.models import Membership, Organization
from auth_service.sessions.models import LoginSession
from auth_service.users.models import User


@dataclass(frozen=True, slots=True)
class Leave:
    """A grant that holds, the role of its user today, and the API key that it was made with, if it was one."""

    grant: Grant
    role: str
    key: ApiKey | None


async def add_grant(session: AsyncSession, grant: Grant) -> None:
    session.add(grant)
    await session.flush()


async def find_grant(session: AsyncSession, grant_id: str, *, service: str) -> Grant | None:
    """One that is not revoked."""
    return await session.scalar(
        select(Grant).where(Grant.id == grant_id, Grant.service == service, Grant.revoked_at.is_(None))
    )


async def find_leave(session: AsyncSession, grant_id: str, *, service: str) -> Leave | None:
    """None where the grant, its user, their membership, or what it was made with does not hold any more.

    The grant is locked until the transaction ends: whoever revokes it waits, so that a token which is made meanwhile
    counts as made before.
    """
    found = await session.execute(
        select(Grant, Membership.role, ApiKey)
        .join(User, User.id == Grant.user_id)
        .join(
            Membership,
            (Membership.user_id == Grant.user_id) & (Membership.organization_id == Grant.organization_id),
        )
        .outerjoin(ApiKey, ApiKey.id == Grant.source)
        .where(
            Grant.id == grant_id,
            Grant.service == service,
            Grant.revoked_at.is_(None),
            Grant.expires_at > func.now(),
            User.disabled_at.is_(None),
            or_(Grant.source.not_like("key\\_%"), _key_holds()),
            ~select(LoginSession).where(LoginSession.id == Grant.source, LoginSession.revoked_at.is_not(None)).exists(),
        )
        .with_for_update(of=Grant, read=True)
    )
    row = found.one_or_none()
    return None if row is None else Leave(*row)


async def lock_source(session: AsyncSession, source: str, *, user_id: str, organization_id: str) -> bool:
    """Whether the session or API key holds, and its user may still use it; it does until the transaction ends."""
    member = (
        select(User.id)
        .join(Membership, (Membership.user_id == User.id) & (Membership.organization_id == organization_id))
        .join(Organization, Organization.id == Membership.organization_id)
        .where(User.id == user_id, User.disabled_at.is_(None))
        .with_for_update(read=True, of=[Organization, User, Membership])
    )
    if await session.scalar(member) is None:
        return False
    login = select(LoginSession.id).where(
        LoginSession.id == source,
        LoginSession.user_id == user_id,
        LoginSession.organization_id == organization_id,
        LoginSession.revoked_at.is_(None),
    )
    key = select(ApiKey.id).where(
        ApiKey.id == source,
        ApiKey.user_id == user_id,
        ApiKey.organization_id == organization_id,
        _key_holds(),
    )
    for statement in (login, key):
        if await session.scalar(statement.with_for_update(read=True)) is not None:
            return True
    return False


async def revoke_grants(session: AsyncSession, subjects: Sequence[str]) -> Sequence[str]:
    """Ends what rests on the subjects: sessions, API keys, users, `user/organization`, or grants themselves.

    Returns those whose tokens the subjects do not name: a token names its grant and its user, not the login.
    """
    ids = [each for each in subjects if "/" not in each]
    members = [each.split("/", 1) for each in subjects if "/" in each]
    rests_on = or_(
        Grant.id.in_(ids),
        Grant.source.in_(ids),
        Grant.user_id.in_(ids),
        *(and_(Grant.user_id == user, Grant.organization_id == organization) for user, organization in members),
    )
    ended = await session.execute(
        update(Grant)
        .where(rests_on, Grant.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(Grant.id, Grant.source)
        .execution_options(synchronize_session=False)
    )
    return [grant_id for grant_id, source in ended if source in ids]


async def delete_expired_grants(session: AsyncSession, *, at_most: int) -> None:
    """Passes by those that somebody else works on."""
    expired = select(Grant.id).where(Grant.expires_at < func.now()).limit(at_most).with_for_update(skip_locked=True)
    await session.execute(
        delete(Grant).where(Grant.id.in_(expired.scalar_subquery())).execution_options(synchronize_session=False)
    )


def _key_holds() -> ColumnElement[bool]:
    return and_(ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()))
