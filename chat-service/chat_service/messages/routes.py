"""`/api/chat/messages`, and the messages of a conversation."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from chat_service.conversations.routes import ChatReader, Id
from chat_service.idempotency import RequestKey
from chat_service.messages.schemas import MessageCreate, MessageView
from chat_service.messages.service import MessageService
from shared.auth import Principal, requires
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page
from shared.request_id import request_id_of
from shared.sse import EventStream, event_stream_docs

router = APIRouter(prefix="/api/chat", tags=["chat"])


async def message_service(request: Request) -> MessageService:
    return MessageService(request.state.sessions, request.state.runner)


Messages = Annotated[MessageService, Depends(message_service)]
ChatWriter = Annotated[Principal, Depends(requires("chat:write"))]

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer: whole, or its events where `stream` is true",
        "content": {"text/event-stream": event_stream_docs("start, delta, usage, …; at the end one done or error.")},
    }
}


@router.post("/messages", summary="Send a message", response_model=MessageView, responses=STREAMED)
async def send_message(
    body: MessageCreate, sender: ChatWriter, messages: Messages, key: RequestKey, request: Request, answer: Response
) -> MessageView | Response:
    """Answers with the model's message. Leaving early changes nothing: the answer is written and saved all the same."""
    generation = await messages.send(body, sender=sender, key=key, request_id=request_id_of(request.scope))
    if not body.stream:
        return await generation.message()
    return EventStream(generation.frames(), on_error=generation.error_frame, headers=answer.headers)


@router.get("/messages/{message_id}", summary="Read a message")
async def read_message(message_id: Id, reader: ChatReader, messages: Messages) -> MessageView:
    return await messages.find(message_id, reader=reader)


@router.get("/conversations/{conversation_id}/messages", summary="List a conversation's messages")
async def list_messages(
    conversation_id: Id, reader: ChatReader, messages: Messages, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[MessageView]:
    """The active branch, newest first; `next_cursor` goes back towards its first message."""
    return await messages.page(conversation_id, reader=reader, limit=limit, cursor=cursor)
