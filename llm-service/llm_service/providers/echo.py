"""Answers with the question: deterministic, offline, for development without any key."""

import time

from llm_service.canonical.events import Ended, Event, Finished, Piece, Started, TextDelta, UsageCounted
from llm_service.providers.base import Call, Incoming, Provider
from shared.events import Usage
from shared.ids import new_id


class EchoProvider(Provider):
    """Says the last user message back, a word at a time; tokens are words."""

    free = True

    async def open(self, call: Call) -> Incoming:
        request = call.ingress.canonical
        said = request.last_user_text or "(nothing)"
        words = [word + " " for word in said.split(" ")]
        words[-1] = words[-1][:-1]
        asked = sum(len(message.text.split()) for message in request.messages)
        usage = Usage(input_tokens=asked, output_tokens=len(words), estimated=True)
        started = Started(id=new_id("echo"), model=call.model, created=int(time.time()))
        return _Echo((started, *map(TextDelta, words), Finished("stop"), UsageCounted(usage), Ended()))


class _Echo(Incoming):
    def __init__(self, events: tuple[Event, ...]) -> None:
        self._events = iter(events)

    async def next(self) -> Piece | None:
        event = next(self._events, None)
        return None if event is None else Piece(b"", (event,))
