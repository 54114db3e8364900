"""All SQL about users and their memberships."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from auth_service.organizations.models import Membership, Organization
from auth_service.users.errors import EmailTaken, UsernameTaken
from auth_service.users.models import User

OWNERS_LOCK = 0x73796E61_6F776E72
"""Held until the commit by whatever may take an organization's last owner away (`syna`, `ownr`)."""
TAKEN = {"uq_users_username": UsernameTaken, "uq_users_email": EmailTaken}


@dataclass(frozen=True, slots=True)
class Member:
    """A user in one of the organizations that they belong to."""

    user: User
    organization: Organization
    role: str


async def find_member(session: AsyncSession, user_id: str, *, organization_id: str) -> Member | None:
    found = await session.execute(
        select(User, Organization, Membership.role)
        .join(Membership, Membership.user_id == User.id)
        .join(Organization, Organization.id == Membership.organization_id)
        .where(User.id == user_id, Membership.organization_id == organization_id)
    )
    row = found.one_or_none()
    return None if row is None else Member(*row)


async def find_person(session: AsyncSession, username: str) -> User | None:
    """Of that normalised name; programs are nobody's to invite."""
    return await session.scalar(select(User).where(User.username == username, User.kind == "person"))


async def list_members(
    session: AsyncSession, organization_id: str, *, kind: str | None, after: str | None, limit: int
) -> Sequence[Member]:
    """By id, oldest first."""
    query = (
        select(User, Organization, Membership.role)
        .join(Membership, Membership.user_id == User.id)
        .join(Organization, Organization.id == Membership.organization_id)
        .where(Membership.organization_id == organization_id)
    )
    if kind is not None:
        query = query.where(User.kind == kind)
    if after is not None:
        query = query.where(Membership.user_id > after)
    return [Member(*row) for row in await session.execute(query.order_by(Membership.user_id).limit(limit))]


async def change_password_hash(session: AsyncSession, user_id: str, *, old: str, new: str) -> bool:
    """Does nothing, and returns False, where the hash is not the old one any more."""
    changed = await session.scalar(
        update(User)
        .where(User.id == user_id, User.password_hash == old)
        .values(password_hash=new, updated_at=func.now())
        .returning(User.id)
    )
    return changed is not None


async def update_user(
    session: AsyncSession, user_id: str, changes: Mapping[str, Any], *, organization_id: str
) -> User | None:
    """As the user of that (home) organization is then; None where they have gone. Raises UsernameTaken, EmailTaken."""
    changed = (
        update(User)
        .where(User.id == user_id, User.organization_id == organization_id)
        .values(**changes, updated_at=func.now())
        .returning(User)
    )
    try:
        return await session.scalar(changed.execution_options(populate_existing=True))
    except IntegrityError as error:
        raise taken(error) from None


async def delete_user(session: AsyncSession, user_id: str, *, organization_id: str) -> None:
    """With memberships, sessions, keys and grants; only from their (home) organization."""
    await session.execute(delete(User).where(User.id == user_id, User.organization_id == organization_id))


async def username_exists(session: AsyncSession, username: str) -> bool:
    return await session.scalar(select(User.id).where(User.username == username)) is not None


async def add_user(session: AsyncSession, user: User, *, role: str) -> None:
    """A member, in that role, of the organization that makes them. Raises UsernameTaken or EmailTaken."""
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        raise taken(error) from None
    session.add(Membership(user_id=user.id, organization_id=user.organization_id, role=role))
    await session.flush()


def taken(error: IntegrityError) -> Exception:
    """What the broken constraint means; the error itself where it is none of ours."""
    constraint = getattr(error.orig.__cause__, "constraint_name", None) if error.orig else None
    return TAKEN[constraint]() if constraint in TAKEN else error


async def lock_owners(session: AsyncSession) -> None:
    """From here to the commit, nobody else takes an owner away. Do it before rows are locked, and before it is asked
    who is an owner: who has become one meanwhile is not an admin's to change."""
    await session.execute(select(func.pg_advisory_xact_lock(OWNERS_LOCK)))


async def is_last_owner(session: AsyncSession, user_id: str, *, organization_id: str | None = None) -> bool:
    """Of that organization, or of any: no other person who is not disabled owns it too. Call `lock_owners` first."""
    mine, other = aliased(Membership), aliased(Membership)
    another_owner = exists().where(
        other.organization_id == mine.organization_id,
        other.user_id != user_id,
        other.role == "owner",
        User.id == other.user_id,
        User.kind == "person",
        User.disabled_at.is_(None),
    )
    alone = select(mine.organization_id).where(mine.user_id == user_id, mine.role == "owner", ~another_owner)
    if organization_id is not None:
        alone = alone.where(mine.organization_id == organization_id)
    return await session.scalar(alone.limit(1)) is not None
