"""`/api/chat/conversations`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from chat_service.conversations.schemas import ConversationView
from chat_service.conversations.service import ConversationService
from shared.auth import Principal, requires
from shared.database import Session
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page

router = APIRouter(prefix="/api/chat/conversations", tags=["chat"])


async def conversation_service(session: Session) -> ConversationService:
    return ConversationService(session)


Conversations = Annotated[ConversationService, Depends(conversation_service)]
ChatReader = Annotated[Principal, Depends(requires("chat:read"))]


@router.get("", summary="List conversations")
async def list_conversations(
    reader: ChatReader, conversations: Conversations, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ConversationView]:
    """The caller's conversations, the one written to last first."""
    return await conversations.page(owner=reader, limit=limit, cursor=cursor)


@router.get("/{conversation_id}", summary="Read a conversation")
async def read_conversation(conversation_id: str, reader: ChatReader, conversations: Conversations) -> ConversationView:
    return ConversationView.model_validate(await conversations.find(conversation_id, owner=reader))
