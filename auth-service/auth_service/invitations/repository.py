"""All SQL about invitations. Open: neither accepted nor expired."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.organizations.models import Invitation, Membership
from auth_service.users.models import User


async def add_invitation(session: AsyncSession, invitation: Invitation) -> None:
    session.add(invitation)
    await session.flush()


async def list_open(
    session: AsyncSession, organization_id: str, *, after: str | None, limit: int
) -> Sequence[Invitation]:
    """By id, oldest first."""
    query = select(Invitation).where(Invitation.organization_id == organization_id, _open())
    if after is not None:
        query = query.where(Invitation.id > after)
    return (await session.scalars(query.order_by(Invitation.id).limit(limit))).all()


async def delete_invitation(session: AsyncSession, invitation_id: str, *, organization_id: str) -> bool:
    """Whether there was an open one of that id."""
    deleted = await session.scalar(
        delete(Invitation)
        .where(Invitation.id == invitation_id, Invitation.organization_id == organization_id, _open())
        .returning(Invitation.id)
    )
    return deleted is not None


async def find_valid(session: AsyncSession, token_hash: bytes) -> Invitation | None:
    """An open one whose maker may still give its role."""
    return await session.scalar(select(Invitation).where(Invitation.token_hash == token_hash, _open(), _is_backed()))


async def accept(session: AsyncSession, token_hash: bytes) -> Invitation | None:
    """Uses it up with the commit; of two at once, one gets it."""
    return await session.scalar(
        update(Invitation)
        .where(Invitation.token_hash == token_hash, _open(), _is_backed())
        .values(accepted_at=func.clock_timestamp())
        .returning(Invitation)
    )


def _open() -> ColumnElement[bool]:
    return Invitation.accepted_at.is_(None) & (Invitation.expires_at > func.now())


def _is_backed() -> ColumnElement[bool]:
    may_give = (Membership.role == "owner") | ((Membership.role == "admin") & (Invitation.role != "owner"))
    return exists().where(
        Membership.user_id == Invitation.created_by,
        Membership.organization_id == Invitation.organization_id,
        may_give,
        User.id == Membership.user_id,
        User.disabled_at.is_(None),
    )
