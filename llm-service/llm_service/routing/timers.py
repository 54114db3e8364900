"""The timers of one attempt, within the deadline that all attempts share."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llm_service.config import Timeouts
from llm_service.errors import Kind, ProviderError


class Deadline:
    """When something must have ended."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return max(0.0, self._at - time.monotonic())


class Timers:
    """Started with the attempt. Each wait names what it waits for; what takes too long is a ProviderError.

    `silence` is the attempt's share, in seconds, of the request's `deadline`: by then it must have said something, so
    that the targets that wait have time left. The last one's share is all there is. `hurried`: the client's wishes
    made that share as short as it is. `whole`: seconds for an answer that comes in one piece.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        deadline: Deadline,
        *,
        stream: bool,
        silence: float,
        whole: float = math.inf,
        hurried: bool = False,
    ) -> None:
        self._timeouts = timeouts
        self._deadline = deadline
        self._stream = stream
        self._hurried = hurried
        self._total = Deadline(timeouts.total)
        self._silence = Deadline(silence)
        self._first_content_by = Deadline(timeouts.first_content if stream else whole)

    @asynccontextmanager
    async def headers(self) -> AsyncIterator[None]:
        """A whole answer's headers come when all of it is done, so the timer of all of it bounds them."""
        seconds = self._timeouts.headers if self._stream else self._first_content_by.remaining
        async with self._within(seconds, "to begin its answer", share=self._silence.remaining):
            yield

    @asynccontextmanager
    async def first_content(self) -> AsyncIterator[None]:
        async with self._within(
            self._first_content_by.remaining, "to say its first word", share=self._silence.remaining
        ):
            yield

    @asynccontextmanager
    async def gap(self) -> AsyncIterator[None]:
        async with self._within(self._timeouts.gap, "to go on"):
            yield

    @asynccontextmanager
    async def _within(self, seconds: float, what: str, *, share: float = math.inf) -> AsyncIterator[None]:
        patience = min(seconds, self._total.remaining)
        shared = min(share, self._deadline.remaining)
        try:
            async with asyncio.timeout(min(patience, shared)):
                yield
        except TimeoutError:
            hurried = self._hurried and shared < patience
            raise ProviderError(Kind.TIMEOUT, f"The provider took too long {what}.", hurried=hurried) from None
