"""All SQL about organizations and memberships."""

from collections.abc import Sequence

from sqlalchemy import Select, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.organizations.models import Membership, Organization
from auth_service.users.models import User

OwnOrganization = tuple[Organization, str]
"""And the role in it."""


async def list_own(session: AsyncSession, user_id: str, *, after: str | None, limit: int) -> Sequence[OwnOrganization]:
    """Those that the user belongs to, by id."""
    query = _own(user_id)
    if after is not None:
        query = query.where(Organization.id > after)
    found = await session.execute(query.order_by(Organization.id).limit(limit))
    return [(organization, role) for organization, role in found]


async def find_own(session: AsyncSession, organization_id: str, *, user_id: str) -> OwnOrganization | None:
    row = (await session.execute(_own(user_id).where(Organization.id == organization_id))).one_or_none()
    return None if row is None else (row[0], row[1])


def _own(user_id: str) -> Select[Organization, str]:
    return (
        select(Organization, Membership.role)
        .join(Membership, Membership.organization_id == Organization.id)
        .where(Membership.user_id == user_id)
    )


async def add_organization(session: AsyncSession, organization: Organization) -> None:
    session.add(organization)
    await session.flush()


async def rename_organization(session: AsyncSession, organization_id: str, *, name: str) -> None:
    await session.execute(update(Organization).where(Organization.id == organization_id).values(name=name))


async def delete_organization(session: AsyncSession, organization_id: str) -> Sequence[str] | None:
    """The ids of its members. Does nothing, and returns None, where accounts belong to it.

    Locks it first: nobody joins meanwhile.
    """
    await session.execute(select(Organization.id).where(Organization.id == organization_id).with_for_update())
    if await session.scalar(select(exists().where(User.organization_id == organization_id))):
        return None
    members = await session.scalars(select(Membership.user_id).where(Membership.organization_id == organization_id))
    await session.execute(delete(Organization).where(Organization.id == organization_id))
    return members.all()


async def add_membership(session: AsyncSession, user_id: str, *, organization_id: str, role: str) -> bool:
    """Whether there was none yet."""
    added = await session.scalar(
        insert(Membership)
        .values(user_id=user_id, organization_id=organization_id, role=role)
        .on_conflict_do_nothing()
        .returning(Membership.user_id)
    )
    return added is not None


async def change_role(session: AsyncSession, user_id: str, *, organization_id: str, role: str) -> None:
    await session.execute(
        update(Membership)
        .where(Membership.user_id == user_id, Membership.organization_id == organization_id)
        .values(role=role)
    )


async def delete_membership(session: AsyncSession, user_id: str, *, organization_id: str) -> None:
    await session.execute(
        delete(Membership).where(Membership.user_id == user_id, Membership.organization_id == organization_id)
    )
