"""Server-sent events out: one write per event, pings in silence, and the end of a client ends its source."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.disconnect import ClientLeft, WhileWanted
from shared.errors import DomainError

PING = b": ping\n\n"
PING_AFTER = 15.0
"""Seconds of silence before a comment keeps proxies from closing the connection."""
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
HOLD = 10.0
"""Seconds for which the headers wait for the first frame, so that what fails before it can be an answer of its own."""


def event_stream_docs(description: str) -> dict[str, Any]:
    """For `content` of a response: `itemSchema` is what one event looks like (OpenAPI 3.2 §4.14.1; FastAPI's way)."""
    text = {"type": "string"}
    event = {"type": "object", "required": ["data"], "properties": {"event": text, "id": text, "data": text}}
    return {"itemSchema": {**event, "description": description}}


class EventStream(Response):
    """Sends each frame of `frames` as it comes, and closes `frames` at once when the client leaves.

    `headers` is read when the first frame is there (or HOLD has passed), so the source may fill it until then.
    A DomainError of the source is the whole answer while no headers are sent; after that `on_error` writes it
    as the last frame. So it is with Stopping, when the process ends and the source has not ended by itself.
    """

    def __init__(
        self,
        frames: AsyncGenerator[bytes],
        *,
        on_error: Callable[[DomainError], bytes],
        headers: Mapping[str, str] | None = None,
        hold: float = HOLD,
        ping_after: float = PING_AFTER,
    ) -> None:
        super().__init__()
        self._frames = frames
        self._on_error = on_error
        self._late_headers = {} if headers is None else headers
        self._hold = hold
        self._ping_after = ping_after
        self._started = False
        self._writing = False
        self._written_at = 0.0  # in the event loop's time
        self._ping: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self._time, self._send = loop.time, send
        self._timer = loop.call_later(self._hold, self._look)
        try:
            with WhileWanted(scope, receive):
                async with aclosing(self._frames):
                    async for frame in self._frames:
                        await self._write(frame)
        except ClientLeft:
            return
        except DomainError as error:
            await self._end_pings()  # one may have begun the answer in the meantime
            if not self._started:
                raise  # it can still be an answer of its own
            await self._write(self._on_error(error))
        finally:
            await self._end_pings()
        await self._write(b"", more=False)

    async def _write(self, frame: bytes, *, more: bool = True) -> None:
        if self._ping is not None:
            await self._ping  # `send` is not for two at a time
        self._writing = True
        if not self._started:
            await self._start()
        await self._send({"type": "http.response.body", "body": frame, "more_body": more})
        self._writing = False
        self._written_at = self._time()

    async def _start(self) -> None:
        self._started = True
        late = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._late_headers.items()]
        named = {name for name, _ in late}
        headers = [*(header for header in _HEADERS if header[0] not in named), *late]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    def _look(self) -> None:
        """Whether the silence has lasted long enough for a ping; looks again when it could have."""
        rest = self._written_at + self._ping_after - self._time() if self._started else 0
        if self._writing or self._ping is not None:
            rest = self._ping_after  # a client that does not read needs no ping
        elif rest <= 0:
            rest = self._ping_after
            self._ping = asyncio.create_task(self._send_ping())
        self._timer = asyncio.get_running_loop().call_later(rest, self._look)

    async def _send_ping(self) -> None:
        try:
            with suppress(Exception):  # what hinders it hinders the next frame too, which can tell
                if not self._started:
                    await self._start()
                await self._send({"type": "http.response.body", "body": PING, "more_body": True})
                self._written_at = self._time()
        finally:
            self._ping = None

    async def _end_pings(self) -> None:
        self._timer.cancel()
        if self._ping is not None:
            self._ping.cancel()
            await asyncio.gather(self._ping, return_exceptions=True)
            self._ping = None
