"""The timers of one attempt, within the deadline that all attempts share."""

import asyncio
import math
import time
from types import TracebackType
from typing import Self

from llm_service.config import Timeouts
from llm_service.errors import Kind, ProviderError

TICK = 0.02
"""Seconds between looks at what is awaited: by so much a timer may be late."""


class Deadline:
    """When something must have ended."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def at(self) -> float:
        """By the monotonic clock."""
        return self._at

    @property
    def remaining(self) -> float:
        return max(0.0, self._at - time.monotonic())


class Clock:
    """Ends what is awaited for too long. It looks at all waits together, as a timer of the event loop for each wait
    costs several times what all else of a streamed word does. One per event loop."""

    def __init__(self) -> None:
        self._waits: set[Timers] = set()
        self._next: asyncio.TimerHandle | None = None

    def add(self, wait: "Timers") -> None:
        self._waits.add(wait)
        if self._next is None:
            self._next = asyncio.get_running_loop().call_later(TICK, self._look)

    def discard(self, wait: "Timers") -> None:
        self._waits.discard(wait)

    def _look(self) -> None:
        now = time.monotonic()
        for wait in [wait for wait in self._waits if wait.ends_at <= now]:
            wait.end()
        self._next = asyncio.get_running_loop().call_later(TICK, self._look) if self._waits else None


class Timers:
    """Started with the attempt, by the task that waits. Each wait is a `with` block, and names what it waits for; what
    takes too long is a ProviderError.

    `silence` is the attempt's share, in seconds, of the request's `deadline`: by then it must have said something, so
    that the targets that wait have time left. The last one's share is all there is. `hurried`: the client's wishes
    made that share as short as it is. `whole`: seconds for an answer that comes in one piece.
    """

    __slots__ = (
        *(
            "_cancelling",
            "_clock",
            "_deadline",
            "_first_content_by",
            "_hurried",
            "_shared",
            "_silent_until",
            "_stream",
            "_task",
        ),
        *("_timeouts", "_total_until", "_what", "ends_at", "ended"),
    )

    def __init__(
        self,
        clock: Clock,
        timeouts: Timeouts,
        deadline: float,
        *,
        stream: bool,
        silence: float,
        whole: float = math.inf,
        hurried: bool = False,
    ) -> None:
        """`deadline` by the monotonic clock."""
        now = time.monotonic()
        self._clock = clock
        self._timeouts = timeouts
        self._stream = stream
        self._hurried = hurried
        self._deadline = deadline
        self._total_until = now + timeouts.total
        self._silent_until = now + silence
        self._first_content_by = now + (timeouts.first_content if stream else whole)
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._what = ""
        self._shared = False
        self.ends_at = math.inf
        self.ended = False

    def headers(self) -> Self:
        """A whole answer's headers come when all of it is done, so the timer of all of it bounds them."""
        patience = time.monotonic() + self._timeouts.headers if self._stream else self._first_content_by
        return self._until(patience, "to begin its answer", share=self._silent_until)

    def first_content(self) -> Self:
        return self._until(self._first_content_by, "to say its first word", share=self._silent_until)

    def gap(self) -> Self:
        return self._until(time.monotonic() + self._timeouts.gap, "to go on")

    def closing(self, seconds: float) -> Self:
        """For a connection that has nothing more to say."""
        return self._until(time.monotonic() + seconds, "to close")

    def _until(self, patience: float, what: str, *, share: float = math.inf) -> Self:
        patience = min(patience, self._total_until)
        shared = min(share, self._deadline)
        self._what = what
        self._shared = shared < patience
        self.ends_at = shared if self._shared else patience
        return self

    def __enter__(self) -> Self:
        self._task = task = asyncio.current_task()
        self._cancelling = 0 if task is None else task.cancelling()
        self.ended = False
        self._clock.add(self)
        return self

    def end(self) -> None:
        """Called by the clock: what is awaited is cancelled, as `asyncio.timeout` does it."""
        if not self.ended and self._task is not None:
            self.ended = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clock.discard(self)
        if not self.ended or self._task is None:
            return
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            hurried = self._hurried and self._shared
            raise ProviderError(Kind.TIMEOUT, f"The provider took too long {self._what}.", hurried=hurried) from None
