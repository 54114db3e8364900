"""What owners do with their conversations."""

import re
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.conversations import repository
from chat_service.conversations.errors import ConversationExists, ConversationNotFound
from chat_service.conversations.models import Conversation
from chat_service.conversations.repository import Filters
from chat_service.conversations.schemas import (
    CONVERSATION_ID,
    ConversationCreate,
    ConversationUpdate,
    ConversationView,
)
from chat_service.generations.repository import forget_generations, lock_running
from chat_service.messages.errors import MessageNotFound
from chat_service.messages.repository import newest_below
from shared.auth import Principal
from shared.errors import MalformedRequest
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor


class ConversationService:
    """Works in the transaction of its session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, conversation_id: str, *, owner: Principal) -> Conversation:
        """Raises ConversationNotFound, also for what belongs to someone else."""
        return await self._found(conversation_id, owner=owner, lock=False)

    async def create(self, body: ConversationCreate, *, owner: Principal) -> ConversationView:
        """Raises ConversationExists."""
        created = await repository.create_conversation(
            self._session, body.id or new_id("conv"), columns=body.columns(), owner=owner
        )
        if created is None:
            raise ConversationExists
        return ConversationView.model_validate(created)

    async def update(self, conversation_id: str, body: ConversationUpdate, *, owner: Principal) -> ConversationView:
        """Raises ConversationNotFound, MessageNotFound for a `leaf_id` that is not of the conversation."""
        conversation = await self._lock(conversation_id, owner=owner)
        columns = body.columns()
        if body.leaf_id is not None:
            leaf_id = await newest_below(self._session, body.leaf_id, conversation=conversation)
            if leaf_id is None:
                raise MessageNotFound("The conversation has no message of this leaf_id.")
            columns["leaf_id"] = leaf_id
        if columns:
            conversation = await repository.update_conversation(self._session, conversation, columns=columns)
        return ConversationView.model_validate(conversation)

    async def delete(self, conversation_id: str, *, owner: Principal) -> None:
        """With all that was said in it; an answer that is being written ends. Raises ConversationNotFound."""
        conversation = await self._lock(conversation_id, owner=owner)
        running = await lock_running(self._session, conversation)
        await repository.delete_conversation(self._session, conversation)
        await forget_generations(self._session, running)

    async def page(
        self, filters: Filters, *, owner: Principal, limit: int, cursor: str | None
    ) -> Page[ConversationView]:
        """The owner's conversations, the one written to last first."""
        before = None if cursor is None else _position(cursor)
        found = await repository.list_conversations(self._session, filters, owner=owner, limit=limit + 1, before=before)
        shown = found[:limit]
        more = len(found) > limit
        next_cursor = encode_cursor(shown[-1].updated_at.isoformat(), shown[-1].key.hex) if more else None
        return Page(data=[ConversationView.model_validate(each) for each in shown], next_cursor=next_cursor)

    async def _lock(self, conversation_id: str, *, owner: Principal) -> Conversation:
        return await self._found(conversation_id, owner=owner, lock=True)

    async def _found(self, conversation_id: str, *, owner: Principal, lock: bool) -> Conversation:
        if not re.fullmatch(CONVERSATION_ID, conversation_id):
            raise ConversationNotFound
        look = repository.lock_conversation if lock else repository.find_conversation
        conversation = await look(self._session, conversation_id, owner=owner)
        if conversation is None:
            raise ConversationNotFound
        return conversation


def _position(cursor: str) -> tuple[datetime, UUID]:
    updated_at, key = decode_cursor(cursor, parts=2)
    try:
        return datetime.fromisoformat(updated_at).astimezone(UTC), UUID(key)
    except (ValueError, OverflowError):
        raise MalformedRequest("The cursor is not one that this API gave out.") from None
