"""A service behind the gateway that does as a test says."""

import asyncio
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from shared.request_id import RequestIdMiddleware

MEGABYTE = b"x" * (1 << 20)


class Puppet:
    """`app` answers under /api/llm; events tell what it sees and let it go on."""

    def __init__(self) -> None:
        self.app = FastAPI(openapi_url=None)
        self.app.add_middleware(RequestIdMiddleware, service="puppet")
        self.app.router.routes.append(_Raw(self))
        self.go = asyncio.Event()
        self.received: list[bytes] = []
        self.got_piece = asyncio.Event()
        self.started = asyncio.Event()
        self.disconnected = asyncio.Event()
        self.sent_megabytes = 0

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        behaviour = scope["path"].removeprefix("/api/llm/").split("/")[0].replace("-", "_")
        await getattr(self, behaviour)(Request(scope, receive), scope, receive, send)

    async def mirror(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Tells what arrived."""
        body = await request.body()
        seen: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
            "body": body.decode("latin-1"),
        }
        await Response(msgspec.json.encode(seen), media_type="application/json")(scope, receive, send)

    async def length(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        total = 0
        async for piece in request.stream():
            total += len(piece)
        await Response(str(total))(scope, receive, send)

    async def status(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        code = int(scope["path"].rsplit("/", 1)[1])
        headers = [
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"connection", b"x-hop"),
            (b"x-hop", b"1"),
            (b"x-kept", "ação".encode("latin-1")),
        ]
        if code not in (204, 304):
            headers.append((b"content-length", b"2"))
        await send({"type": "http.response.start", "status": code, "headers": headers})
        body = b"" if code in (204, 304) or scope["method"] == "HEAD" else b"ok"
        await send({"type": "http.response.body", "body": body})

    async def stream(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """One piece, then another when the test lets it go."""

        async def pieces() -> Any:
            yield b"first"
            await self.go.wait()
            yield b"second"

        await StreamingResponse(pieces(), media_type="text/event-stream")(scope, receive, send)

    async def upload(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        async for piece in request.stream():
            self.received.append(piece)
            self.got_piece.set()
        await Response(b"".join(self.received))(scope, receive, send)

    async def later(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads when the test lets it."""
        await self.go.wait()
        await self.length(request, scope, receive, send)

    async def flood(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for self.sent_megabytes in range(1, 101):
            await send({"type": "http.response.body", "body": MEGABYTE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def silence(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Says nothing until the caller leaves."""
        await request.body()
        self.started.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()

    async def half(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Begins, then breaks."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("a secret detail")

    async def broken(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a secret detail")

    async def gzip(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b"\x1f\x8bnot really", headers={"content-encoding": "gzip"})(scope, receive, send)


class _Raw(BaseRoute):
    """A route that gives every request to the puppet as ASGI, so that nothing stands between."""

    def __init__(self, puppet: Puppet) -> None:
        self._puppet = puppet

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope["path"].startswith("/api/llm/") else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._puppet.answer(scope, receive, send)
