"""An httpx2 transport that calls an ASGI app of this process, streaming both ways.

httpx2's own `ASGITransport` collects the whole answer before it returns; this one returns when the answer starts,
holds at most `QUEUE_SIZE` pieces of it, and tells the app when the reader leaves.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
from starlette.types import Message, Receive, Scope, Send

from shared.disconnect import ON_LEAVE, Leaving
from shared.errors import ReaderLeft

QUEUE_SIZE = 16
"""Pieces of an answer that wait for a slow reader before the app has to."""

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class InProcessTransport(httpx2.AsyncBaseTransport):
    """Raises ReadTimeout as a socket would, and RemoteProtocolError where the app breaks off."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = _Exchange(request)
        exchange.run(self._app)
        try:
            status, headers = await exchange.started()
        except BaseException:
            await exchange.close()
            raise
        return httpx2.Response(status, headers=headers, stream=_Body(exchange), request=request)


class _Exchange:
    """One request and its answer, between the caller and the task in which the app runs."""

    def __init__(self, request: httpx2.Request) -> None:
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        self._request = request
        self._request_body = aiter(request.stream)
        self._request_is_read = False
        self._start: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_SIZE)
        self._complete = False
        self._reader_left = asyncio.Event()
        self._leaving = Leaving()
        self._read_timeout: float | None = request.extensions.get("timeout", {}).get("read")
        self._task: asyncio.Task[None] | None = None

    def run(self, app: App) -> None:
        self._task = asyncio.create_task(self._run(app))

    async def _run(self, app: App) -> None:
        problem = "The app ended without a complete answer."
        try:
            await app(self._scope(), self._receive, self._send)
        except Exception as error:  # it is the caller's to handle, as a broken connection would be
            problem = f"The app broke off: {error!r}"
        finally:
            if not self._start.done():
                self._start.set_exception(httpx2.RemoteProtocolError(problem, request=self._request))
                self._start.exception()  # the caller may have left: mark it as seen
            if not self._reader_left.is_set():
                await self._pieces.put(None)

    def _scope(self) -> dict[str, Any]:
        request = self._request
        path, _, query = request.url.raw_path.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 0),
            "server": (request.url.host, request.url.port),
            "extensions": {ON_LEAVE: self._leaving},
        }

    async def _receive(self) -> Message:
        if not self._request_is_read:
            try:
                return {"type": "http.request", "body": await anext(self._request_body), "more_body": True}
            except StopAsyncIteration:
                self._request_is_read = True
                return {"type": "http.request", "body": b"", "more_body": False}
        await self._reader_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._reader_left.is_set():
            raise ReaderLeft
        if message["type"] == "http.response.start":
            self._start.set_result(message)
            return
        if piece := message.get("body", b""):
            await self._pieces.put(piece)
        if not message.get("more_body", False):
            self._complete = True
            await self._pieces.put(None)

    async def started(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        async with self._timer():
            message = await asyncio.shield(self._start)
        return message["status"], list(message.get("headers", []))

    async def pieces(self) -> AsyncIterator[bytes]:
        while True:
            async with self._timer():
                piece = await self._pieces.get()
            if piece is None:
                break
            yield piece
        if not self._complete:
            raise httpx2.RemoteProtocolError("The app broke its answer off.", request=self._request)

    async def close(self) -> None:
        """Tells the app that the reader has left, and lets it end by itself, as a server does."""
        self._reader_left.set()
        self._leaving.happens()
        while not self._pieces.empty():  # whoever waits for room must not wait for ever
            self._pieces.get_nowait()

    def _timer(self) -> "_ReadTimer":
        return _ReadTimer(self._read_timeout, self._request)


class _ReadTimer:
    """asyncio.timeout that raises httpx2's own exception."""

    def __init__(self, seconds: float | None, request: httpx2.Request) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._request = request

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc: Any) -> None:
        try:
            await self._timeout.__aexit__(*exc)
        except TimeoutError:
            raise httpx2.ReadTimeout("The app took too long.", request=self._request) from None


class _Body(httpx2.AsyncByteStream):
    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._exchange.pieces()

    async def aclose(self) -> None:
        await self._exchange.close()
