"""Answers with the question: deterministic, offline, for development without any key."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from llm_service.canonical.events import Ended, Event, Finished, Piece, Started, TextDelta, UsageCounted
from llm_service.providers.base import Call, Provider
from shared.events import Usage
from shared.ids import new_id


class EchoProvider(Provider):
    """Says the last user message back, a word at a time; tokens are words."""

    free = True

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[AsyncGenerator[Piece]]:
        request = call.ingress.canonical
        said = request.last_user_text or "(nothing)"
        words = [word + " " for word in said.split(" ")]
        words[-1] = words[-1][:-1]
        asked = sum(len(message.text.split()) for message in request.messages)
        usage = Usage(input_tokens=asked, output_tokens=len(words), estimated=True)
        started = Started(id=new_id("echo"), model=call.model, created=int(time.time()))
        yield _pieces((started, *map(TextDelta, words), Finished("stop"), UsageCounted(usage), Ended()))


async def _pieces(events: tuple[Event, ...]) -> AsyncGenerator[Piece]:
    for event in events:
        yield Piece(b"", (event,))
