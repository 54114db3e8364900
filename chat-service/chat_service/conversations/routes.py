"""`/api/chat/conversations`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from chat_service.conversations.repository import Filters
from chat_service.conversations.schemas import ConversationCreate, ConversationUpdate, ConversationView, Line, Tag
from chat_service.conversations.service import ConversationService
from chat_service.idempotency import Once
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


ChatWriter = Annotated[Principal, Depends(requires("chat:write"))]


async def filters(
    archived: bool = False,
    pinned: bool | None = None,
    folder: Annotated[Line | None, Query()] = None,
    tag: Annotated[Tag | None, Query()] = None,
) -> Filters:
    return Filters(archived=archived, pinned=pinned, folder=folder, tag=tag)


@router.get("", summary="List conversations")
async def list_conversations(
    reader: ChatReader,
    conversations: Conversations,
    which: Annotated[Filters, Depends(filters)],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ConversationView]:
    """The caller's conversations, the one written to last first; those put away only with `archived=true`."""
    return await conversations.page(which, owner=reader, limit=limit, cursor=cursor)


@router.post("", status_code=201, summary="Create a conversation")
async def create_conversation(
    body: ConversationCreate, writer: ChatWriter, conversations: Conversations, once: Once
) -> ConversationView:
    return await once(conversations.create(body, owner=writer))


@router.get("/{conversation_id}", summary="Read a conversation")
async def read_conversation(conversation_id: Id, reader: ChatReader, conversations: Conversations) -> ConversationView:
    return ConversationView.model_validate(await conversations.find(conversation_id, owner=reader))


@router.patch("/{conversation_id}", summary="Change a conversation, or switch its branch")
async def update_conversation(
    conversation_id: Id, body: ConversationUpdate, writer: ChatWriter, conversations: Conversations
) -> ConversationView:
    return await conversations.update(conversation_id, body, owner=writer)


@router.delete("/{conversation_id}", status_code=204, summary="Delete a conversation")
async def delete_conversation(conversation_id: Id, writer: ChatWriter, conversations: Conversations) -> None:
    await conversations.delete(conversation_id, owner=writer)
