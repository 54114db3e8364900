"""All SQL about users and their memberships."""

from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.organizations.models import Membership, Organization
from auth_service.users.models import User


@dataclass(frozen=True, slots=True)
class Member:
    """A user in one of the organizations that they belong to."""

    user: User
    organization: Organization
    role: str


async def find_by_username(session: AsyncSession, username: str) -> Member | None:
    """The user of that normalised name, in the organization that they joined first; None where there is no such."""
    return await _find(session, User.username == username)


async def find_member(session: AsyncSession, user_id: str, *, organization_id: str) -> Member | None:
    return await _find(session, (User.id == user_id) & (Membership.organization_id == organization_id))


async def _find(session: AsyncSession, condition: object) -> Member | None:
    found = await session.execute(
        select(User, Organization, Membership.role)
        .join(Membership, Membership.user_id == User.id)
        .join(Organization, Organization.id == Membership.organization_id)
        .where(condition)  # type: ignore[arg-type] # a column expression; SQLAlchemy has no public name for its kind
        .order_by(Membership.created_at, Membership.organization_id)
        .limit(1)
    )
    row = found.one_or_none()
    return None if row is None else Member(*row)


async def change_password_hash(session: AsyncSession, user_id: str, *, old: str, new: str) -> None:
    """Does nothing where the hash is not the old one any more."""
    await session.execute(
        update(User)
        .where(User.id == user_id, User.password_hash == old)
        .values(password_hash=new, updated_at=func.now())
    )


async def username_exists(session: AsyncSession, username: str) -> bool:
    return await session.scalar(select(User.id).where(User.username == username)) is not None


async def add_user(session: AsyncSession, user: User, *, role: str) -> None:
    """A member, in that role, of the organization that makes them."""
    session.add(user)
    await session.flush()
    session.add(Membership(user_id=user.id, organization_id=user.organization_id, role=role))
    await session.flush()
