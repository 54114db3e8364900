"""All SQL about conversations. Whoever reads one says whose it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.conversations.models import Conversation
from shared.auth import Principal
from shared.ids import uuid7_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which conversations are listed; None does not ask."""

    archived: bool
    pinned: bool | None
    folder: str | None
    tag: str | None


async def create_conversation(
    session: AsyncSession, conversation_id: str, *, columns: dict[str, Any], owner: Principal
) -> Conversation | None:
    """None where the owner has one of that id."""
    created = insert(Conversation).values(
        key=UUID(uuid7_hex()),
        id=conversation_id,
        organization_id=owner.organization_id,
        user_id=owner.user_id,
        **columns,
    )
    return await session.scalar(created.on_conflict_do_nothing().returning(Conversation))


async def open_conversation(
    session: AsyncSession, conversation_id: str, *, model: str | None, owner: Principal
) -> Conversation:
    """Finds the owner's conversation of that id, or creates it; its row stays locked until the transaction ends."""
    created = insert(Conversation).values(
        key=UUID(uuid7_hex()),
        id=conversation_id,
        organization_id=owner.organization_id,
        user_id=owner.user_id,
        model=model,
    )
    found_or_created = created.on_conflict_do_update(
        index_elements=["organization_id", "user_id", "id"],
        set_={"model": func.coalesce(created.excluded.model, Conversation.model)},
    )
    return (await session.scalars(found_or_created.returning(Conversation))).one()


async def find_conversation(session: AsyncSession, conversation_id: str, *, owner: Principal) -> Conversation | None:
    return await session.scalar(
        select(Conversation).where(
            Conversation.organization_id == owner.organization_id,
            Conversation.user_id == owner.user_id,
            Conversation.id == conversation_id,
        )
    )


async def lock_conversation(session: AsyncSession, conversation_id: str, *, owner: Principal) -> Conversation | None:
    """Its row stays locked until the transaction ends: no message is sent to it meanwhile."""
    return await session.scalar(
        select(Conversation)
        .where(
            Conversation.organization_id == owner.organization_id,
            Conversation.user_id == owner.user_id,
            Conversation.id == conversation_id,
        )
        .with_for_update()
    )


async def update_conversation(
    session: AsyncSession, conversation: Conversation, *, columns: dict[str, Any]
) -> Conversation:
    changed = update(Conversation).where(
        Conversation.key == conversation.key, Conversation.organization_id == conversation.organization_id
    )
    updated = changed.values(**columns).returning(Conversation).execution_options(populate_existing=True)
    return (await session.scalars(updated)).one()


async def delete_conversation(session: AsyncSession, conversation: Conversation) -> None:
    """With its messages and generations; their events are the caller's to delete."""
    await session.execute(
        delete(Conversation)
        .where(Conversation.key == conversation.key, Conversation.organization_id == conversation.organization_id)
        .execution_options(synchronize_session=False)
    )


async def list_conversations(
    session: AsyncSession, filters: Filters, *, owner: Principal, limit: int, before: tuple[datetime, UUID] | None
) -> Sequence[Conversation]:
    """Newest first, those that come after `before` (the `updated_at` and `key` of one) in that order."""
    query = select(Conversation).where(
        Conversation.organization_id == owner.organization_id,
        Conversation.user_id == owner.user_id,
        Conversation.archived == filters.archived,
    )
    if filters.pinned is not None:
        query = query.where(Conversation.pinned == filters.pinned)
    if filters.folder is not None:
        query = query.where(Conversation.folder == filters.folder)
    if filters.tag is not None:
        query = query.where(Conversation.tags.contains([filters.tag]))
    if before is not None:
        query = query.where(tuple_(Conversation.updated_at, Conversation.key) < before)
    newest_first = query.order_by(Conversation.updated_at.desc(), Conversation.key.desc())
    return (await session.scalars(newest_first.limit(limit))).all()
