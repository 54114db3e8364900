"""The transport that calls an app of this process: as a socket would, only quicker."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from shared.errors import ReaderLeft, install_error_handlers
from shared.http.inprocess import QUEUE_SIZE, App, InProcessTransport


def client(app: App, *, read: float | None = 5) -> httpx2.AsyncClient:
    timeout = httpx2.Timeout(5, read=read)
    return httpx2.AsyncClient(transport=InProcessTransport(app), base_url="http://service", timeout=timeout)


async def start(send: Send, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-app", b"1")]})


async def read(receive: Receive) -> None:
    """All of the request; what comes after it is the client's leaving."""
    while (await receive()).get("more_body"):
        pass


async def piece(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def test_the_answer_begins_before_it_is_complete() -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 201)
        await piece(send, b"one")
        await go.wait()
        await piece(send, b"two", more=False)

    async with client(app) as http, http.stream("GET", "/") as answer:
        assert answer.status_code == 201
        assert answer.headers["x-app"] == "1"
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"one"
        go.set()
        assert await anext(pieces) == b"two"


async def test_the_scope_is_what_a_server_would_give() -> None:
    seen: dict[str, object] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope)
        await start(send)
        await piece(send, b"", more=False)

    async with client(app) as http:
        await http.post("/a%20b?q=%C3%A7", headers={"X-Mine": "1"}, content=b"x")
    assert seen["path"] == "/a b"
    assert seen["raw_path"] == b"/a%20b"
    assert seen["query_string"] == b"q=%C3%A7"
    assert seen["method"] == "POST"
    assert (b"x-mine", b"1") in seen["headers"]  # type: ignore[operator]


async def test_the_request_streams_too() -> None:
    got = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            got.set()
            if not message["more_body"]:
                break
        await start(send)
        await piece(send, body, more=False)

    async def content() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.wait_for(got.wait(), 5)
        yield b"two"

    async with client(app) as http:
        assert (await http.post("/", content=content())).content == b"onetwo"


async def test_a_reader_that_stands_still_stops_the_app() -> None:
    sent = 0
    full = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await start(send)
        for _ in range(10 * QUEUE_SIZE):
            sent += 1
            if sent == QUEUE_SIZE + 1:
                full.set()
            await piece(send, b"x")
        await piece(send, b"", more=False)

    async with client(app) as http, http.stream("GET", "/") as answer:
        await asyncio.wait_for(full.wait(), 5)
        for _ in range(100):  # the loop turns, and nothing more is taken
            await asyncio.sleep(0)
        assert sent == QUEUE_SIZE + 1
        assert len(await answer.aread()) == 10 * QUEUE_SIZE


async def test_a_reader_that_leaves_is_noticed_by_receive_and_by_send() -> None:
    noticed = asyncio.Event()
    refused = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        await start(send)
        await piece(send, b"one")
        assert (await receive())["type"] == "http.disconnect"
        noticed.set()
        with pytest.raises(ReaderLeft):
            await piece(send, b"two")
        refused.set()

    async with client(app) as http:
        async with http.stream("GET", "/"):
            pass
        await asyncio.wait_for(noticed.wait(), 5)
        await asyncio.wait_for(refused.wait(), 5)


async def test_an_answer_that_nobody_waits_for_any_more_is_no_error_of_ours() -> None:
    asked, left = asyncio.Event(), asyncio.Event()
    service = FastAPI()
    install_error_handlers(service)

    @service.get("/")
    async def slow() -> str:
        asked.set()
        await left.wait()
        return "late"

    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await service(scope, receive, send)
        finally:
            ended.set()

    async with client(app) as http:
        asking = asyncio.create_task(http.get("/"))
        await asyncio.wait_for(asked.wait(), 5)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        with capture_logs() as logs:
            left.set()
            await asyncio.wait_for(ended.wait(), 5)
    assert logs == []


async def test_a_caller_that_is_cancelled_before_the_answer_is_noticed() -> None:
    begun, noticed = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        begun.set()
        assert (await receive())["type"] == "http.disconnect"
        noticed.set()

    async with client(app) as http:
        asking = asyncio.create_task(http.get("/"))
        await asyncio.wait_for(begun.wait(), 5)
        asking.cancel()
        await asyncio.wait_for(noticed.wait(), 5)
        await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("begins", [True, False])
async def test_silence_is_a_read_timeout(begins: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begins:
            await start(send)
        await read(receive)
        await receive()

    async with client(app, read=0.05) as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.get("/")


@pytest.mark.parametrize("begins", [True, False])
async def test_an_app_that_breaks_is_a_broken_connection(begins: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begins:
            await start(send)
            await piece(send, b"half")
        raise RuntimeError("broken")

    async with client(app) as http:
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.get("/")


async def test_an_app_that_ends_without_an_end_is_a_broken_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await piece(send, b"half")

    async with client(app) as http:
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.get("/")
