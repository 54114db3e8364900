"""One request passed on over HTTP, and its answer passed back; nothing is held but the piece at hand."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

from starlette.types import Receive, Scope, Send

from shared.disconnect import ClientLeft, WhileWanted
from shared.errors import BadGateway, GatewayTimeout, MalformedRequest, Unavailable
from shared.http.calls import BrokenOff, Caller, Onward, Reply, TooSlow, Unreachable, Unsendable
from shared.http.wire_answer import Headers
from shared.http.wire_connection import JOINED

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
ENDS_HERE = HOP_BY_HOP | {b"host", b"date"}
"""Of an answer; each hop has its own date."""


async def forward(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    caller: Caller,
    name: str,
    connect_timeout: float,
    answer_timeout: float,
) -> None:
    """Raises Unavailable (nobody listens), GatewayTimeout (too slow), BadGateway (broke off) or MalformedRequest.

    When the client leaves, the call is cancelled and its connection closed.
    """
    wanted = WhileWanted(scope, receive, drained=False)
    try:
        onward = await _onward(scope, receive, wanted)
        with wanted:
            reply = await caller.pass_on(onward, connect_timeout=connect_timeout, answer_timeout=answer_timeout)
            await _pass_back(reply, send)
    except ClientLeft:
        return
    except Unreachable as error:
        raise Unavailable(f"The {name} service cannot be reached.", retry_after=1) from error
    except TooSlow as error:
        raise GatewayTimeout(f"The {name} service took too long to answer.") from error
    except BrokenOff as error:
        raise BadGateway(f"The {name} service broke its answer off.") from error
    except Unsendable as error:
        raise MalformedRequest(str(error)) from error


async def _onward(scope: Scope, receive: Receive, wanted: WhileWanted) -> Onward:
    """A small body is read first, so that all of the request is one write. Raises ClientLeft."""
    length: int | None = None
    chunked, headers = False, []
    for header in scope["headers"]:
        match header[0]:
            case b"content-length":
                length = int(header[1])
            case b"transfer-encoding":
                chunked = True
            case b"host":
                pass
            case _:
                headers.append(header)
    body: bytes | AsyncIterable[bytes] | None = None
    if chunked or (length is not None and length > JOINED):
        pieces = _Pieces(receive)
        wanted.leaving, body = pieces.client_leaves, pieces.read()
    elif length is not None:
        body = await _whole(receive)
    target: bytes = scope.get("raw_path") or scope["path"].encode()
    if query := scope["query_string"]:
        target = b"%b?%b" % (target, query)
    return Onward(scope["method"], target, headers, body, length)


async def _pass_back(reply: Reply, send: Send) -> None:
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": _end_to_end(reply.headers)})
        while piece := await reply.read():
            more = not reply.ended  # the last piece and the end are one write
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            if not more:
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        await reply.close()


def _end_to_end(headers: Headers) -> Headers:
    on, named = [], None
    for header in headers:
        if header[0] not in ENDS_HERE:
            on.append(header)
        elif header[0] == b"connection" and header[1].lower() not in (b"close", b"keep-alive"):
            named = named_by_connection(headers)
    return on if named is None else [header for header in on if header[0] not in named]


def named_by_connection(headers: Headers) -> set[bytes]:
    """In small letters: the headers that are for this hop alone (RFC 9110 §7.6.1)."""
    return {
        name.strip().lower()
        for header, value in headers
        if header.lower() == b"connection"
        for name in value.split(b",")
    }


async def _whole(receive: Receive) -> bytes:
    """A small body. Raises ClientLeft."""
    message: Any = await receive()
    body: bytes = message.get("body", b"")
    while message["type"] != "http.disconnect":
        if not message.get("more_body", False):
            return body
        message = await receive()
        body += message.get("body", b"")
    raise ClientLeft


class _Pieces:
    """The client's body as it arrives; the upstream's pace is the client's pace."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._done = asyncio.Event()

    async def read(self) -> AsyncGenerator[bytes]:
        """Raises ClientLeft."""
        more = True
        while more:
            message: Any = await self._receive()
            if message["type"] == "http.disconnect":
                self._done.set()
                raise ClientLeft
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece
        self._done.set()

    async def client_leaves(self) -> None:
        """Returns when the client has gone; it can be noticed only after the whole request has been read."""
        await self._done.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
