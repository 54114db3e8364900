"""What an owner may see of their conversations."""

import re
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.conversations import repository
from chat_service.conversations.errors import ConversationNotFound
from chat_service.conversations.models import Conversation
from chat_service.conversations.schemas import CONVERSATION_ID, ConversationView
from shared.auth import Principal
from shared.errors import MalformedRequest
from shared.pagination import Page, decode_cursor, encode_cursor


class ConversationService:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, conversation_id: str, *, owner: Principal) -> Conversation:
        """Raises ConversationNotFound, also for what belongs to someone else."""
        if not re.fullmatch(CONVERSATION_ID, conversation_id):
            raise ConversationNotFound
        conversation = await repository.find_conversation(self._session, conversation_id, owner=owner)
        if conversation is None:
            raise ConversationNotFound
        return conversation

    async def page(self, *, owner: Principal, limit: int, cursor: str | None) -> Page[ConversationView]:
        """The owner's conversations, the one written to last first."""
        before = None if cursor is None else _position(cursor)
        found = await repository.list_conversations(self._session, owner=owner, limit=limit + 1, before=before)
        shown = found[:limit]
        more = len(found) > limit
        next_cursor = encode_cursor(shown[-1].updated_at.isoformat(), shown[-1].key.hex) if more else None
        return Page(data=[ConversationView.model_validate(each) for each in shown], next_cursor=next_cursor)


def _position(cursor: str) -> tuple[datetime, UUID]:
    updated_at, key = decode_cursor(cursor, parts=2)
    try:
        return datetime.fromisoformat(updated_at).astimezone(UTC), UUID(key)
    except (ValueError, OverflowError):
        raise MalformedRequest("The cursor is not one that this API gave out.") from None
