"""One target's answer, from the question to its end: nothing is handed on of a bad start."""

import time
from collections import deque
from contextlib import suppress

from llm_service.canonical.events import Ended, Finished, Piece, UsageCounted
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, Incoming
from llm_service.routing.turns import Turn

LAST = (Finished, Ended)
"""With either, a provider has said all that it wanted to say."""
MOST_HELD_EVENTS = 64
MOST_HELD_BYTES = 256 * 1024
"""What is held back before the first content; an attempt that says nothing for longer commits all the same."""
BLANK_LINE = b"\n\n"
CLOSES_WITHIN = 0.2
"""Seconds that a provider gets to close what it has ended."""
MOST_ASSURED_BYTES = 64 * 1024 * 1024
"""What an assured answer may have: it is held back until it is complete."""


class Answering:
    """Holds back what comes before the first content, and of an assured answer everything, until it is complete."""

    def __init__(self, turn: Turn, ingress: Ingress) -> None:
        self._turn = turn
        self._ingress = ingress
        self._started = time.monotonic()
        self._incoming: Incoming | None = None
        self._held: deque[Piece] = deque()
        self._events = 0
        self._size = 0
        """Bytes."""
        self._complete = False
        """Whether the provider has said that it has said everything."""
        self._ended = False
        """Whether nothing may follow."""

    async def begin(self, call: Call) -> None:
        """Returns when the attempt commits. Raises ProviderError."""
        turn = self._turn
        with turn.timers.headers():
            self._incoming = await turn.attempt.target.provider.open(call)
        while await self._read(self._incoming) and not self._must_commit():
            pass

    def _must_commit(self) -> bool:
        """Raises ProviderError for an assured answer without end."""
        if self._ingress.routing.assured:
            if self._size > MOST_ASSURED_BYTES:
                raise ProviderError(Kind.INVALID_ANSWER, "The answer is larger than one that is held back may be.")
            return False
        if self._turn.attempt.first_content_ms is not None:
            return True
        return self._events >= MOST_HELD_EVENTS or self._size >= MOST_HELD_BYTES

    async def next(self) -> Piece | None:
        """What the client gets next; None at the end. Raises ProviderError where the answer breaks off."""
        assert self._incoming is not None
        while not self._held:
            if not await self._read(self._incoming):
                return None
        return self._held.popleft()

    async def close(self) -> None:
        """Ends the provider's work where it goes on."""
        if self._incoming is not None:
            await self._incoming.close()

    async def _read(self, incoming: Incoming) -> bool:
        """Takes in what comes next; whether there was anything."""
        if self._ended:
            if self._turn.attempt.stream:
                await self._let_close(incoming)
            return False
        attempt, timers = self._turn.attempt, self._turn.timers
        with timers.gap() if attempt.first_content_ms is not None else timers.first_content():
            piece = await incoming.next()
        if piece is None:
            self._ended = True
            if not self._complete:
                name = attempt.target.provider.name
                raise ProviderError(Kind.TRUNCATED, f"{name} ended its answer before it was complete.")
        else:
            self._note(piece)
        if self._ended and attempt.usage is None:
            self._held.append(self._estimate())
        if piece is not None:
            self._held.append(piece)
        return bool(self._held)

    def _note(self, piece: Piece) -> None:
        self._events += max(1, piece.raw.count(BLANK_LINE))  # some mean nothing to us
        self._size += len(piece.raw)
        attempt, ms = self._turn.attempt, (time.monotonic() - self._started) * 1000
        for event in piece.events:
            attempt.observe(event, ms=ms)
            if isinstance(event, LAST):
                self._complete = True
                self._ended = self._ended or isinstance(event, Ended)

    def _estimate(self) -> Piece:
        """What stands in the place of the usage that a provider has not told: all that tell it further tell the
        same."""
        attempt = self._turn.attempt
        asked = self._ingress.tokens_for(attempt.target.provider.dialect)
        attempt.usage = attempt.estimated_usage(input_tokens=asked)
        return Piece(b"", (UsageCounted(attempt.usage),))

    async def _let_close(self, incoming: Incoming) -> None:
        """After its end an answer has nothing to say: a moment for the connection to become free for the next."""
        with suppress(ProviderError), self._turn.timers.closing(CLOSES_WITHIN):
            await incoming.next()
