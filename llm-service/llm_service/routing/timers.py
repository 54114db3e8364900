"""The timers of one attempt, within the deadline that all attempts share."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llm_service.config import Timeouts
from llm_service.errors import Kind, ProviderError


class Deadline:
    """When the whole request must have its answer begun or its last attempt be given up."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return max(0.0, self._at - time.monotonic())


class Timers:
    """Started with the attempt. Each wait names what it waits for; what takes too long is a ProviderError."""

    def __init__(self, timeouts: Timeouts, deadline: Deadline, *, stream: bool) -> None:
        self._timeouts = timeouts
        self._deadline = deadline
        self._stream = stream
        self._first_content_by = Deadline(timeouts.first_content)

    @asynccontextmanager
    async def headers(self) -> AsyncIterator[None]:
        """A whole answer's headers come when all of it is done, so only the deadline bounds them."""
        async with self._within(self._timeouts.headers if self._stream else None, "to begin its answer"):
            yield

    @asynccontextmanager
    async def first_content(self) -> AsyncIterator[None]:
        async with self._within(self._first_content_by.remaining if self._stream else None, "to say its first word"):
            yield

    @asynccontextmanager
    async def gap(self) -> AsyncIterator[None]:
        async with self._within(self._timeouts.gap, "to go on"):
            yield

    @asynccontextmanager
    async def _within(self, seconds: float | None, what: str) -> AsyncIterator[None]:
        remaining = self._deadline.remaining
        try:
            async with asyncio.timeout(remaining if seconds is None else min(seconds, remaining)):
                yield
        except TimeoutError:
            raise ProviderError(Kind.TIMEOUT, f"The provider took too long {what}.") from None
