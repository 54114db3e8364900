"""An httpx2 transport over wires: a pool for each origin, streaming both ways."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import httpx2

from shared.http.wire import Wire, render_head
from shared.http.wire_answer import WireAnswer
from shared.http.wire_connection import JOINED
from shared.http.wire_errors import (
    BrokenOff,
    ConnectFailed,
    ConnectTimedOut,
    NotHttp,
    PoolExhausted,
    TooSlow,
    WireError,
    WrongLength,
)

RAISED_AS: dict[type[WireError], type[httpx2.TransportError]] = {
    ConnectFailed: httpx2.ConnectError,
    ConnectTimedOut: httpx2.ConnectTimeout,
    PoolExhausted: httpx2.PoolTimeout,
    NotHttp: httpx2.RemoteProtocolError,
    WrongLength: httpx2.LocalProtocolError,
}


class WireTransport(httpx2.AsyncBaseTransport):
    """Raises what httpx2's own transport raises. Knows no proxies, and keeps a pool per origin until it is closed.

    `connections` and `idle` are per origin. Of a request's timeouts, `connect` also bounds the wait for a free
    connection (then PoolTimeout).
    """

    def __init__(
        self,
        *,
        connections: int = 2000,
        idle: int = 200,
        idle_seconds: float = 30,
        ssl: ssl.SSLContext | None = None,
    ) -> None:
        self._connections = connections
        self._idle = idle
        self._idle_seconds = idle_seconds
        self._ssl = ssl
        self._wires: dict[tuple[str, str, int | None], Wire] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        wire = self._wire(request.url)
        timeouts = request.extensions.get("timeout", {})
        try:
            answer = await _send(wire, request, timeouts)
        except WireError as error:
            raise _as_httpx2(error, request) from error
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, timeouts.get("read"), request),
            extensions={"http_version": b"HTTP/1.1"},
            request=request,
        )

    async def aclose(self) -> None:
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()
        await asyncio.sleep(0)  # sockets are closed in the loop's next turn

    def _wire(self, url: httpx2.URL) -> Wire:
        origin = (url.scheme, url.host, url.port)
        wire = self._wires.get(origin)
        if wire is None:
            if url.scheme not in ("http", "https"):
                raise httpx2.UnsupportedProtocol(f"There is no wire for {url.scheme!r}.")
            wire = self._wires[origin] = Wire(
                f"{url.scheme}://{url.netloc.decode('ascii')}",
                connections=self._connections,
                idle=self._idle,
                idle_seconds=self._idle_seconds,
                ssl=self._ssl,
            )
        return wire


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: WireAnswer, timeout: float | None, request: httpx2.Request) -> None:
        self._answer = answer
        self._timeout = timeout
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._answer.read(self._timeout):
                yield piece
        except WireError as error:
            raise _as_httpx2(error, self._request) from error

    async def aclose(self) -> None:
        self._answer.close()


async def _send(wire: Wire, request: httpx2.Request, timeouts: dict[str, float | None]) -> WireAnswer:
    length: int | None = None
    has_body, headers = False, []
    for name, value in request.headers.raw:
        match name.lower():
            case b"content-length":
                has_body, length = True, _length(value)
            case b"transfer-encoding":
                has_body = True
            case _:
                headers.append((name, value))
    try:
        head = render_head(request.method.encode("ascii"), request.url.raw_path, headers)
    except ValueError as error:
        raise httpx2.LocalProtocolError(str(error)) from error
    connect, read = timeouts.get("connect"), timeouts.get("read")
    stream = request.stream
    if not has_body or (isinstance(stream, httpx2.ByteStream) and length is not None and length <= JOINED):
        body = b"".join(stream) if isinstance(stream, httpx2.ByteStream) and has_body else None
        if body is not None and len(body) != length:
            raise httpx2.LocalProtocolError(f"The body has {len(body)} bytes, and {length} were announced.")
        return await wire.send(head, body, connect_timeout=connect, answer_timeout=read)
    assert isinstance(stream, httpx2.AsyncByteStream)
    return await wire.send_stream(
        head, stream, length=length, connect_timeout=connect, answer_timeout=read, write_timeout=timeouts.get("write")
    )


def _length(value: bytes) -> int:
    if not value.isdigit():
        raise httpx2.LocalProtocolError("A content-length is a number.")
    return int(value)


def _as_httpx2(error: WireError, request: httpx2.Request) -> httpx2.TransportError:
    kind: type[httpx2.TransportError]
    match error:
        case BrokenOff():
            kind = httpx2.ReadError if error.reset else httpx2.RemoteProtocolError
        case TooSlow():
            kind = httpx2.WriteTimeout if error.sending else httpx2.ReadTimeout
        case _:
            kind = RAISED_AS[type(error)]
    return kind(str(error), request=request)
