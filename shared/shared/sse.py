"""Server-sent events out: one write per event, pings in silence, and the end of a client ends its source."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared import drain
from shared.disconnect import client_leaves
from shared.errors import DomainError, Stopping

PING = b": ping\n\n"
PING_AFTER = 15.0
"""Seconds of silence before a comment keeps proxies from closing the connection."""
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

    media_type = "text/event-stream"

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
        self._frames_sent = 0
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # ASGI's signature
        sending = asyncio.create_task(self._send_frames(send))
        pinging = asyncio.create_task(self._ping(send))
        leaving = asyncio.create_task(client_leaves(receive))
        stopping = asyncio.create_task(drain.patience_ends())
        try:
            await asyncio.wait({sending, leaving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            out_of_time = stopping.done() and not (sending.done() or leaving.done())
        finally:
            for task in (sending, pinging, leaving, stopping):
                task.cancel()
            result, *_ = await asyncio.gather(sending, pinging, leaving, stopping, return_exceptions=True)
        if out_of_time:
            await self._break_off(send, Stopping())
        elif isinstance(result, DomainError):
            await self._break_off(send, result)  # a ping may have begun the answer in the meantime
        elif isinstance(result, Exception):
            raise result

    async def _send_frames(self, send: Send) -> None:
        async with aclosing(self._frames):
            try:
                async for frame in self._frames:
                    await self._write(send, frame)
            except DomainError as error:
                await self._break_off(send, error)
                return
        await self._write(send, b"", more=False)

    async def _break_off(self, send: Send, error: DomainError) -> None:
        """Raises `error` where it can still be an answer of its own."""
        if not self._started:
            raise error
        await self._write(send, self._on_error(error))
        await self._write(send, b"", more=False)

    async def _ping(self, send: Send) -> None:
        wait = self._hold
        while True:
            before = self._frames_sent
            await asyncio.sleep(wait)
            wait = self._ping_after
            if self._frames_sent == before:
                await self._write(send, PING)

    async def _write(self, send: Send, frame: bytes, *, more: bool = True) -> None:
        async with self._one_at_a_time:
            self._frames_sent += 1
            if not self._started:
                self._started = True
                self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no", **self._late_headers})
                del self.headers["content-length"]
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": frame, "more_body": more})
