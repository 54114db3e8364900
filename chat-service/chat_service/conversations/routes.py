"""`/api/chat/conversations`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from chat_service.conversations.schemas import ConversationView
from chat_service.conversations.service import ConversationService
from shared.auth import Principal, requires
from shared.database import Session
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page

router = APIRouter(prefix="/api/chat/conversations", tags=["chat"])


async def conversation_service(session: Session) -> ConversationService:
    return ConversationService(session)


Conversations = Annotated[ConversationService, Depends(conversation_service)]
Id = Annotated[str, Path(json_schema_extra={"maxLength": 69, "pattern": "^[A-Za-z0-9_-]+$"})]
"""Others are 404 too: whoever follows a broken link needs no lecture on ids."""
ChatReader = Annotated[Principal, Depends(requires("chat:read"))]


@router.get("", summary="List conversations")
async def list_conversations(
    reader: ChatReader, conversations: Conversations, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ConversationView]:
    """The caller's conversations, the one written to last first."""
    return await conversations.page(owner=reader, limit=limit, cursor=cursor)


@router.get("/{conversation_id}", summary="Read a conversation")
async def read_conversation(conversation_id: Id, reader: ChatReader, conversations: Conversations) -> ConversationView:
    return ConversationView.model_validate(await conversations.find(conversation_id, owner=reader))
