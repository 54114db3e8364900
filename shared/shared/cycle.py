"""One request and its answer on a connection: uvicorn's, but an answer's head is checked at once, not by header."""

import asyncio
import http
from operator import itemgetter
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_NOT_IN_NAMES = bytes({*range(0x21), 0x7F, *b'()<>@,;:[]={}\\"'})
_NOT_IN_VALUES = bytes({*range(0x20), 0x7F} - {0x09})
_NAME, _VALUE = itemgetter(0), itemgetter(1)
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})


def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}


class News:
    """What `asyncio.Event` is to a cycle, made only where somebody has to wait: nearly always a whole request is there
    before it is asked for. What has happened is in the cycle's fields."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: asyncio.Event | None = None

    def set(self) -> None:
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        if self._event is None:
            self._event = asyncio.Event()
        self._event.clear()
        await self._event.wait()


class Cycle(RequestResponseCycle):
    """Without uvicorn's access line: ours is `shared.request_id`'s."""

    _is_read = False

    async def receive(self) -> Any:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        while not (self.disconnected or self.response_complete or self.body or not (self.more_body or self._is_read)):
            self.flow.resume_reading()
            await self.message_event.wait()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        if self.flow.read_paused:
            self.flow.resume_reading()
        self._is_read = not self.more_body
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_complete:
            raise RuntimeError(f"There is a {message['type']} after the answer's end.")
        expected = "http.response.body" if self.response_started else "http.response.start"
        if message["type"] != expected:
            raise RuntimeError(f"Expected {expected}, got {message['type']}.")
        if self.response_started:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            self._send_head(message["status"], [*self.default_headers, *message.get("headers", ())])

    def _send_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        names, values = b"".join(map(_NAME, headers)), b"".join(map(_VALUE, headers))
        if len(names.translate(None, _NOT_IN_NAMES)) != len(names):
            raise RuntimeError("Invalid HTTP header name.")
        if len(values.translate(None, _NOT_IN_VALUES)) != len(values):
            raise RuntimeError("Invalid HTTP header value.")
        if names != names.lower():
            headers = [(name.lower(), value) for name, value in headers]
        head = [_STATUS_LINES[status], *map(b": ".join, headers)]
        closes = False
        for name, value in headers:
            if name not in _FRAMING:
                continue
            if name == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
            elif name == b"connection" and b"close" in [token.lower().strip() for token in value.split(b",")]:
                self.keep_alive = False
                closes = True
        if not self.keep_alive and not closes:
            head.append(b"connection: close")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            head.append(b"transfer-encoding: chunked")
        self.transport.write(b"\r\n".join([*head, b"", b""]))

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        elif self.chunked_encoding:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self.transport.write(piece if more else piece + b"0\r\n\r\n")
        else:
            if len(body) > self.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            self.expected_content_length -= len(body)
            self.transport.write(body)
        if not more:
            if self.expected_content_length != 0:
                raise RuntimeError("Response content shorter than Content-Length")
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()
