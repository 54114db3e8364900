"""All SQL about conversations. Whoever reads one says whose it is."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.conversations.models import Conversation
from shared.auth import Principal
from shared.ids import uuid7_hex


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


async def list_conversations(
    session: AsyncSession, *, owner: Principal, limit: int, before: tuple[datetime, UUID] | None
) -> Sequence[Conversation]:
    """Newest first, those that come after `before` (the `updated_at` and `key` of one) in that order."""
    query = select(Conversation).where(
        Conversation.organization_id == owner.organization_id, Conversation.user_id == owner.user_id
    )
    if before is not None:
        query = query.where(tuple_(Conversation.updated_at, Conversation.key) < before)
    newest_first = query.order_by(Conversation.updated_at.desc(), Conversation.key.desc())
    return (await session.scalars(newest_first.limit(limit))).all()
