"""`/api/chat/generations`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from chat_service.conversations.routes import ChatReader, ChatWriter, Id
from chat_service.generations.service import GenerationService
from chat_service.messages.routes import Messages
from chat_service.messages.schemas import MessageView
from shared.errors import DomainError
from shared.sse import PING, EventStream, event_stream_docs

router = APIRouter(prefix="/api/chat/generations", tags=["chat"])


async def generation_service(request: Request) -> GenerationService:
    return GenerationService(request.state.sessions, request.state.runner, request.state.following)


Generations = Annotated[GenerationService, Depends(generation_service)]
MOST = 2**31 - 1
After = Annotated[int, Query(ge=0, le=MOST, description="the sequence of the last event that was seen")]
LastEventId = Annotated[int, Header(ge=0, le=MOST, description="the same, as browsers send it when they come back")]

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events that follow, up to the terminal one",
        "content": {"text/event-stream": event_stream_docs("start, delta, usage, …; at the end one done or error.")},
    },
    204: {"description": "The terminal event was seen: nothing follows"},
}


@router.get("/{generation_id}/events", summary="Read a generation's events", response_model=None, responses=EVENTS)
async def read_events(
    generation_id: Id, reader: ChatReader, generations: Generations, after: After = 0, last_event_id: LastEventId = 0
) -> Response:
    """From any sequence, at any replica, by as many readers as like; leaving changes nothing."""
    feed = await generations.feed(generation_id, reader=reader)
    seen = max(after, last_event_id)
    if feed.has_nothing_after(seen):
        return Response(status_code=204)
    return EventStream(feed.frames(seen), on_error=_come_back, hold=0)  # the model may be silent: that is no failure


def _come_back(_: DomainError) -> bytes:
    """This replica ends, the generation may not: no terminal event, so that the reader asks another one."""
    return PING


@router.post("/{generation_id}/stop", summary="Stop a generation")
async def stop_generation(
    generation_id: Id, stopper: ChatWriter, generations: Generations, messages: Messages
) -> MessageView:
    """The model is asked no more, and the text so far is kept. What has ended stays as it is."""
    feed = await generations.stop(generation_id, owner=stopper)
    return await messages.find(feed.place.message_id, reader=stopper)
