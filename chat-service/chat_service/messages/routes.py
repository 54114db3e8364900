"""`/api/chat/messages`, and the messages of a conversation."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from chat_service.conversations.routes import ChatReader, ChatWriter, Id
from chat_service.idempotency import RequestKey
from chat_service.messages.schemas import AnswerWanted, Feedback, MessageCreate, MessageEdit, MessageView
from chat_service.messages.service import MessageService
from chat_service.running.feed import Feed
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page
from shared.request_id import request_id_of
from shared.sse import EventStream, event_stream_docs

router = APIRouter(prefix="/api/chat", tags=["chat"])


async def message_service(request: Request) -> MessageService:
    return MessageService(request.state.sessions, request.state.runner, request.state.following)


Messages = Annotated[MessageService, Depends(message_service)]

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer: whole, or its events where `stream` is true",
        "content": {"text/event-stream": event_stream_docs("start, delta, usage, …; at the end one done or error.")},
    }
}


async def request_id(request: Request) -> str:
    return request_id_of(request.scope)


RequestId = Annotated[str, Depends(request_id)]


async def told(feed: Feed, answer: Response, *, stream: bool) -> MessageView | Response:
    """The answer in the form that was asked for."""
    if not stream:
        return await feed.message()
    return EventStream(feed.frames_of_answer(), on_error=feed.error_frame, headers=answer.headers)


@router.post("/messages", summary="Send a message", response_model=MessageView, responses=STREAMED)
async def send_message(
    body: MessageCreate, sender: ChatWriter, messages: Messages, key: RequestKey, request: RequestId, answer: Response
) -> MessageView | Response:
    """Answers with the model's message. Leaving early changes nothing: the answer is written and saved all the same."""
    feed = await messages.send(body, sender=sender, key=key, request_id=request)
    return await told(feed, answer, stream=body.stream)


@router.post("/messages/{message_id}/edit", summary="Edit a message", response_model=MessageView, responses=STREAMED)
async def edit_message(
    message_id: Id,
    body: MessageEdit,
    sender: ChatWriter,
    messages: Messages,
    key: RequestKey,
    request: RequestId,
    answer: Response,
) -> MessageView | Response:
    """Sends a user's message anew, in a branch of its own; the old one stays."""
    feed = await messages.edit(message_id, body, sender=sender, key=key, request_id=request)
    return await told(feed, answer, stream=body.stream)


@router.post(
    "/messages/{message_id}/regenerate", summary="Answer once more", response_model=MessageView, responses=STREAMED
)
async def regenerate_message(
    message_id: Id,
    body: AnswerWanted,
    sender: ChatWriter,
    messages: Messages,
    key: RequestKey,
    request: RequestId,
    answer: Response,
) -> MessageView | Response:
    """Another answer beside this one, or to this message of the user's; the old one stays."""
    feed = await messages.regenerate(message_id, body, sender=sender, key=key, request_id=request)
    return await told(feed, answer, stream=body.stream)


@router.post(
    "/messages/{message_id}/continue", summary="Continue an answer", response_model=MessageView, responses=STREAMED
)
async def continue_message(
    message_id: Id,
    body: AnswerWanted,
    sender: ChatWriter,
    messages: Messages,
    key: RequestKey,
    request: RequestId,
    answer: Response,
) -> MessageView | Response:
    """The rest of an answer that was stopped, interrupted or cut, as a message that follows it."""
    feed = await messages.go_on(message_id, body, sender=sender, key=key, request_id=request)
    return await told(feed, answer, stream=body.stream)


@router.get("/messages/{message_id}", summary="Read a message")
async def read_message(message_id: Id, reader: ChatReader, messages: Messages) -> MessageView:
    return await messages.find(message_id, reader=reader)


@router.get("/messages/{message_id}/siblings", summary="List the versions of a message")
async def list_siblings(
    message_id: Id, reader: ChatReader, messages: Messages, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[MessageView]:
    """The messages with the same parent, the oldest first."""
    return await messages.siblings(message_id, reader=reader, limit=limit, cursor=cursor)


@router.put("/messages/{message_id}/feedback", status_code=204, summary="Rate an answer")
async def rate_message(message_id: Id, body: Feedback, writer: ChatWriter, messages: Messages) -> None:
    await messages.rate(message_id, body, owner=writer)


@router.delete("/messages/{message_id}/feedback", status_code=204, summary="Take a rating back")
async def unrate_message(message_id: Id, writer: ChatWriter, messages: Messages) -> None:
    await messages.rate(message_id, None, owner=writer)


@router.delete("/messages/{message_id}", status_code=204, summary="Delete a message")
async def delete_message(message_id: Id, writer: ChatWriter, messages: Messages) -> None:
    """With all that follows it."""
    await messages.delete(message_id, owner=writer)


@router.get("/conversations/{conversation_id}/messages", summary="List a conversation's messages")
async def list_messages(
    conversation_id: Id, reader: ChatReader, messages: Messages, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[MessageView]:
    """The active branch, newest first; `next_cursor` goes back towards its first message."""
    return await messages.page(conversation_id, reader=reader, limit=limit, cursor=cursor)
