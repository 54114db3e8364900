"""One request passed on over HTTP, and its answer passed back; nothing is held but the piece at hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
from starlette.types import Receive, Scope, Send

from shared.disconnect import ClientLeft, WhileWanted
from shared.errors import BadGateway, DomainError, GatewayTimeout, Unavailable

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 §7.6.1; what a Connection header names comes on top."""


async def forward(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    transport: httpx2.AsyncBaseTransport,
    to: httpx2.URL,
    name: str,
    timeout: Mapping[str, float],
) -> None:
    """Raises Unavailable (nobody listens), GatewayTimeout (too slow) or BadGateway (broke off).

    When the client leaves, the call is cancelled and its connection closed.
    """
    body = _RequestBody(receive)
    url = to.copy_with(raw_path=scope.get("raw_path", scope["path"].encode()) + _query(scope))
    headers = [(b"host", to.netloc), *((name, value) for name, value in scope["headers"] if name != b"host")]
    has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
    request = httpx2.Request(
        scope["method"],
        url,
        headers=headers,
        stream=body if has_body else httpx2.ByteStream(b""),
        extensions={"timeout": dict(timeout)},
    )
    wanted = WhileWanted(scope, receive, drained=False)
    wanted.leaving = lambda: body.client_leaves(read=not has_body)
    with contextlib.suppress(ClientLeft), wanted:
        await _exchange(request, send, transport=transport, name=name)


def end_to_end(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers that travel on: without the hop-by-hop ones, `host` (each hop has its own) and `date`."""
    dropped = HOP_BY_HOP | named_by_connection(headers) | {b"host", b"date"}
    return [(header, value) for header, value in headers if header.lower() not in dropped]


def named_by_connection(headers: list[tuple[bytes, bytes]]) -> set[bytes]:
    """In small letters: the headers that are for this hop alone (RFC 9110 §7.6.1)."""
    return {
        name.strip().lower()
        for header, value in headers
        if header.lower() == b"connection"
        for name in value.split(b",")
    }


def _query(scope: Scope) -> bytes:
    query: bytes = scope["query_string"]
    return b"?" + query if query else b""


async def _exchange(request: httpx2.Request, send: Send, *, transport: httpx2.AsyncBaseTransport, name: str) -> None:
    try:
        response = await transport.handle_async_request(request)
    except httpx2.HTTPError as error:
        raise _told(error, name) from error
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    try:
        headers = [(header.lower(), value) for header, value in end_to_end(response.headers.raw)]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        async for piece in response.stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except httpx2.HTTPError as error:
        raise _told(error, name) from error
    finally:
        await response.aclose()


def _told(error: httpx2.HTTPError, name: str) -> DomainError:
    match error:
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return Unavailable(f"The {name} service cannot be reached.", retry_after=1)
        case httpx2.TimeoutException():
            return GatewayTimeout(f"The {name} service took too long to answer.")
        case _:
            return BadGateway(f"The {name} service broke its answer off.")


class _RequestBody(httpx2.AsyncByteStream):
    """The client's body as it arrives; the upstream's pace is the client's pace."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._done = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message: Any = await self._receive()
            if message["type"] == "http.disconnect":
                self._done.set()
                raise httpx2.WriteError("The client left before its request was complete.")
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece
        self._done.set()

    async def client_leaves(self, *, read: bool) -> None:
        """Returns when the client has gone; it can be noticed only after the whole request has been read."""
        if not read:
            await self._done.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
