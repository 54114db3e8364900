"""What a reader is told who has waited for the first word for so long that the headers are sent.

Below the API, because there the wait takes ten seconds.
"""

import asyncio
import json
from typing import Any

from chat_service.running.feed import Place
from chat_service.running.live import LiveGeneration
from shared.errors import Unavailable
from shared.sse import PING, EventStream


async def test_what_fails_after_the_headers_is_one_error_in_the_stream() -> None:
    place = Place(
        generation_id="gen_1", message_id="msg_1", conversation_id="conv_1", organization_id="org_1", user_id="usr_1"
    )
    generation = LiveGeneration(place, model="gpt-4")
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body") == PING:
            generation.fail(Unavailable("The provider is down."))

    async def never() -> Any:
        await asyncio.Event().wait()

    await EventStream(generation.frames_of_answer(), on_error=generation.error_frame, hold=0.01)({}, never, send)
    start, ping, error, end = sent
    assert (start["status"], ping["body"], end["body"]) == (200, PING, b"")
    frame = dict(line.split(": ", 1) for line in error["body"].decode().strip().split("\n"))
    assert (frame["id"], frame["event"]) == ("1", "error")
    assert json.loads(frame["data"]) == {
        "type": "error",
        "content": "",
        "generation_id": "gen_1",
        "code": "unavailable",
        "detail": "The provider is down.",
        "status": 503,
        "message_id": "msg_1",
    }
