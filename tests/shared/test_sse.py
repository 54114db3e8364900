"""Event streams: when the headers go out, what fills silence, and what an early or a late error becomes."""

import asyncio
from collections.abc import AsyncGenerator

import httpx2
import pytest
from fastapi import FastAPI

from shared.errors import DomainError, NotFound, install_error_handlers
from shared.http.inprocess import InProcessTransport
from shared.sse import PING, EventStream


def told(error: DomainError) -> bytes:
    return f"data: {error.code}\n\n".encode()


def serving(stream: EventStream) -> httpx2.AsyncClient:
    app = FastAPI()
    install_error_handlers(app)
    app.add_api_route("/", lambda: stream, response_model=None)
    return httpx2.AsyncClient(transport=InProcessTransport(app), base_url="http://service", timeout=5)


async def test_frames_are_sent_as_they_come_with_headers_that_were_filled_late() -> None:
    headers: dict[str, str] = {}

    async def frames() -> AsyncGenerator[bytes]:
        headers["x-late"] = "yes"
        yield b"data: 1\n\n"
        yield b"data: 2\n\n"

    async with serving(EventStream(frames(), headers=headers, on_error=told)) as http:
        answer = await http.get("/")
    assert answer.text == "data: 1\n\ndata: 2\n\n"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-late"] == "yes"
    assert "content-length" not in answer.headers


async def test_an_error_before_the_first_frame_is_an_answer_of_its_own() -> None:
    async def frames() -> AsyncGenerator[bytes]:
        raise NotFound("no such thing")
        yield b""

    async with serving(EventStream(frames(), on_error=told)) as http:
        answer = await http.get("/")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("turns", range(6))
async def test_an_error_at_the_moment_of_the_first_ping_is_an_answer_or_the_last_frame(turns: int) -> None:
    """Both come of timers of ten seconds, so they meet; an answer that has begun must not begin again."""

    async def frames() -> AsyncGenerator[bytes]:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise NotFound("no such thing")
        yield b""

    async with serving(EventStream(frames(), on_error=told, hold=0)) as http:
        answer = await http.get("/")
    assert (answer.status_code, answer.text.removeprefix(PING.decode())) in (
        (200, "data: not_found\n\n"),
        (404, answer.text),
    )


async def test_an_error_after_it_is_the_last_frame() -> None:
    async def frames() -> AsyncGenerator[bytes]:
        yield b"data: 1\n\n"
        raise NotFound("gone")

    async with serving(EventStream(frames(), on_error=told)) as http:
        answer = await http.get("/")
    assert answer.status_code == 200
    assert answer.text == "data: 1\n\ndata: not_found\n\n"


async def test_headers_do_not_wait_for_ever_and_silence_is_filled() -> None:
    go = asyncio.Event()

    async def frames() -> AsyncGenerator[bytes]:
        await go.wait()
        raise NotFound("late")
        yield b""

    stream = EventStream(frames(), on_error=told, hold=0.01, ping_after=0.01)
    async with serving(stream) as http, http.stream("GET", "/") as answer:
        assert answer.status_code == 200
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == PING
        assert await anext(pieces) == PING
        go.set()
        rest = b"".join([piece async for piece in pieces])
    assert rest.replace(PING, b"") == b"data: not_found\n\n"


@pytest.mark.parametrize("said_first", [True, False])
async def test_the_source_is_closed_when_the_client_leaves(said_first: bool) -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def frames() -> AsyncGenerator[bytes]:
        try:
            if said_first:
                yield b"data: 1\n\n"
            begun.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with serving(EventStream(frames(), on_error=told)) as http:
        asking = asyncio.create_task(http.get("/"))
        await asyncio.wait_for(begun.wait(), 5)
        asking.cancel()
        await asyncio.wait_for(closed.wait(), 5)
        await asyncio.gather(asking, return_exceptions=True)
