"""An answer that comes over a wire."""

import asyncio
from collections import deque
from typing import Protocol

from shared.http.wire_errors import BrokenOff, TooLarge, TooSlow

MOST_WAITING = 64 * 1024
"""Bytes of an answer that wait for a slow reader before the server has to."""
MOST_JOINED = 32 * 1024
"""Pieces that came together are handed on together, up to so many bytes: all that is made of them is as large."""

Headers = list[tuple[bytes, bytes]]


class Source(Protocol):
    """The connection that an answer comes over."""

    loop: asyncio.AbstractEventLoop

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...

    def fail(self, error: Exception, /) -> None: ...


class WireAnswer:
    """`headers` have lower-case names, in the order in which they came; the body is not decompressed.

    Whoever does not read it to its end closes it: otherwise its connection stays open.
    """

    __slots__ = (
        "_connection",
        "_seconds",
        "_timer",
        "complete",
        "error",
        "headers",
        "pieces",
        "status",
        "waiter",
        "waiting",
    )

    def __init__(self, connection: Source, waiter: "asyncio.Future[None]") -> None:
        self.status = 0
        self.headers: Headers = []
        self.complete = False
        """All of it has arrived; reading it may still give pieces."""
        self._connection = connection
        # What the connection fills, and whom it wakes.
        self.error: Exception | None = None
        self.pieces: deque[bytes] = deque()
        self.waiting = 0
        self.waiter: asyncio.Future[None] | None = waiter
        self._timer: asyncio.TimerHandle | None = None
        self._seconds: float | None = None

    async def read(self, timeout: float | None = None) -> bytes:
        """What has arrived, about MOST_JOINED of it at most; b"" at the end. Raises BrokenOff, NotHttp, TooSlow (s)."""
        pieces = self.pieces
        while not pieces:
            if self.complete:
                return b""
            if self.error is not None:
                raise self.error
            await self._news(timeout)
        piece = pieces.popleft()
        if pieces:
            piece = self._joined(piece)
        self.waiting -= len(piece)
        if not self.complete and self.waiting <= MOST_WAITING // 2:
            self._connection.resume_reading()
        return piece

    def _joined(self, piece: bytes) -> bytes:
        taken, size = [piece], len(piece)
        while self.pieces and size + len(self.pieces[0]) <= MOST_JOINED:
            taken.append(self.pieces.popleft())
            size += len(taken[-1])
        return b"".join(taken)

    async def body(self, limit: int, timeout: float | None = None) -> bytes:
        """All that is left. Raises as `read` does, and TooLarge for more than `limit` bytes."""
        if self.complete and len(self.pieces) == 1 and self.waiting <= limit:  # nearly always
            return self.pieces.popleft()
        size, pieces = 0, []
        while piece := await self.read(timeout):
            size += len(piece)
            if size > limit:
                self.close()
                raise TooLarge(f"The answer has more than {limit} bytes.")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Breaks the connection off, unless the whole answer has arrived. What has arrived is dropped."""
        if not self.complete and self.error is None:
            self.error = BrokenOff("The answer was closed.", after_headers=True, reused=False, reset=False)
            self._connection.abort()
        self.pieces.clear()
        self.stop_timer()

    async def started(self, waiter: "asyncio.Future[None]") -> None:
        """Returns when the head is there; raises what came instead. The connection ends with the caller's patience."""
        try:
            await waiter
        except BaseException:
            self.close()
            raise
        if self._timer is not None:
            self.stop_timer()
        if self.status == 0 and self.error is not None:
            raise self.error

    async def _news(self, timeout: float | None) -> None:
        waiter = self.waiter = self._connection.loop.create_future()
        if timeout is not None:
            self.give_up_after(timeout)
        try:
            await waiter
        except BaseException:
            self.close()
            raise
        self.stop_timer()

    def give_up_after(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer = self._connection.loop.call_later(seconds, self._give_up)

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self.waiter is not None:  # nothing came in this very moment
            self._connection.fail(TooSlow(f"The server was silent for {self._seconds} s."))
