"""One TCP connection of a client: HTTP/1.1 read strictly, written one step at a time, and closed in any manner."""

import asyncio
import json
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h11

from tests.simulators.replies import Head


@dataclass(eq=False)
class RecordedRequest:
    """A request as it came, and what became of its answer."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """Names in lower case."""
    raw: bytes
    connection: int
    """Which of the server's connections, from 1: equal for requests that shared one."""
    number: int = 0
    """Which of the server's requests, from 1; the server's own endpoints are not counted."""
    sent: int = 0
    """Pieces of content written so far."""
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the answer has stood still, at a gate or in a stall."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the whole answer has been written."""
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client closed its connection before that."""
    left_at: float | None = None
    """When it did, by `time.monotonic()`."""

    @property
    def body(self) -> Any:
        """The body as JSON, None if it is not."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None

    def leave(self) -> None:
        self.left_at = time.monotonic()
        self.disconnected.set()

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body,
            "connection": self.connection,
            "sent": self.sent,
            "held": self.held.is_set(),
            "answered": self.answered.is_set(),
            "disconnected": self.disconnected.is_set(),
        }


class Connection:
    """Reads ahead all the time, so that `gone` is set the moment the client closes or resets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, number: int) -> None:
        self.gone = asyncio.Event()
        self.number = number
        self._reader = reader
        self._writer = writer
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._http = h11.Connection(h11.SERVER)
        self._socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._receiving = asyncio.create_task(self._receive())

    async def next_request(self) -> RecordedRequest | None:
        """None once the client has closed between two requests; raises h11.RemoteProtocolError for what is not HTTP."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        request: h11.Request | None = None
        body = bytearray()
        while True:
            match await self._next_event():
                case h11.Request() as head:
                    request = head
                case h11.Data(data=received):
                    body += received
                case h11.EndOfMessage() if request:
                    return self._record(request, bytes(body))
                case _:
                    return None

    async def send_head(self, head: Head) -> None:
        framing = ("transfer-encoding", "chunked") if head.length is None else ("content-length", str(head.length))
        await self._send(h11.Response(status_code=head.status, headers=[*head.headers.items(), framing]))

    async def send_body(self, body: bytes) -> None:
        await self._send(h11.Data(data=body))

    async def send_end(self) -> None:
        await self._send(h11.EndOfMessage())

    def reset(self) -> None:
        """RST: a socket that lingers for zero seconds says no goodbye."""
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self) -> None:
        """FIN at once; what has not left this process does not arrive."""
        self._receiving.cancel()
        self._writer.transport.abort()

    async def close(self) -> None:
        """FIN, once everything that was written has left."""
        self._writer.close()
        try:
            with suppress(ConnectionError):
                await self._writer.wait_closed()
        finally:
            self.abort()

    async def _receive(self) -> None:
        try:
            while received := await self._reader.read(65_536):
                self._inbox.put_nowait(received)
        except ConnectionError:
            pass
        self._inbox.put_nowait(b"")
        self.gone.set()

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._inbox.get())
        return event

    async def _send(self, event: h11.Event) -> None:
        encoded = self._http.send(event)
        if encoded:
            self._writer.write(encoded)
            await self._writer.drain()

    def _record(self, request: h11.Request, body: bytes) -> RecordedRequest:
        path, _, query = request.target.decode("ascii").partition("?")
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        return RecordedRequest(request.method.decode(), path, query, headers, body, self.number)

    def _socket(self) -> socket.socket:
        found: socket.socket = self._writer.get_extra_info("socket")
        return found
