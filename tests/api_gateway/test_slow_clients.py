"""Clients that hold a connection open for nothing, and those that only seem to."""

import asyncio
import contextlib
import time

import pytest

from shared.connection import LIMITS
from tests.api_gateway.conftest import Gateway
from tests.api_gateway.puppet import MEGABYTE, Puppet
from tests.api_gateway.raw import connected, head

HASTY = LIMITS._replace(head_time=0.4, body_window=0.4, body_minimum=64, unread_time=0.4, linger_time=0.2)


@pytest.mark.parametrize("said", [b"", b"GET", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(gateway: Gateway, said: bytes) -> None:
    async with gateway(limits=HASTY) as client, connected(client) as line:
        started = time.monotonic()
        await line.say(said)
        answered = await line.everything()
    assert 0.35 <= time.monotonic() - started < 3
    assert answered.startswith(b"HTTP/1.1 408" if said else b"")


@pytest.mark.parametrize("piece", [b"x", b"\r\nx: y", b""])
async def test_a_head_that_trickles_is_not_waited_for(gateway: Gateway, piece: bytes) -> None:
    async with gateway(limits=HASTY) as client, connected(client) as line:
        await line.say(b"GET / HTTP/1.1\r\nhost: x" if piece else b"")
        closed = asyncio.create_task(line.everything())
        started = time.monotonic()
        while not closed.done() and time.monotonic() - started < 4:
            try:
                await line.say(piece or b"\r\n")  # blank lines before a request are allowed, and are no request
            except ConnectionError:
                break
            await asyncio.sleep(0.05)
        await closed
    assert time.monotonic() - started < 3


async def test_a_second_request_gets_no_more_time_than_the_first(gateway: Gateway) -> None:
    async with gateway(limits=HASTY) as client, connected(client) as line:
        await line.say(head(client), b"GET /")
        assert (await line.answer())[0] == 200
        assert (await line.everything()).startswith(b"HTTP/1.1 408")


async def test_an_idle_connection_outlives_the_limit_of_a_head(gateway: Gateway) -> None:
    async with gateway(limits=HASTY) as client, connected(client) as line:
        await line.say(head(client))
        assert (await line.answer())[0] == 200
        await asyncio.sleep(2 * HASTY.head_time)  # the time itself is what is tested
        await line.say(head(client))
        assert (await line.answer())[0] == 200


@pytest.mark.parametrize("framing", [b"content-length: 1000", b"transfer-encoding: chunked"])
async def test_a_body_that_stalls_is_not_waited_for(gateway: Gateway, framing: bytes) -> None:
    async with gateway(limits=HASTY) as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/upload", framing, method=b"POST"), b"1\r\nx\r\n")
        assert (await line.everything()).startswith(b"HTTP/1.1 408")


async def test_a_body_that_trickles_is_not_waited_for(gateway: Gateway) -> None:
    async with gateway(limits=HASTY) as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/upload", b"content-length: 100000", method=b"POST"))
        closed = asyncio.create_task(line.everything())
        started = time.monotonic()
        while not closed.done() and time.monotonic() - started < 4:
            try:
                await line.say(b"x")
            except ConnectionError:
                break
            await asyncio.sleep(0.05)
        assert (await closed).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started < 3


async def test_a_body_that_comes_steadily_is_waited_for(gateway: Gateway) -> None:
    async with gateway(limits=HASTY) as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/length", b"content-length: 1600", method=b"POST"))
        for _ in range(16):
            await line.say(b"x" * 100)
            await asyncio.sleep(0.1)
        status, _, body = await line.answer()
    assert (status, body) == (200, b"1600")


async def test_a_body_is_not_late_while_it_is_the_service_that_does_not_read(gateway: Gateway, puppet: Puppet) -> None:
    limits = HASTY._replace(body_window=1.5)  # client and gateway share an event loop, which other work may hold up
    async with gateway(limits=limits) as client, connected(client) as line:
        line.writer.write(head(client, b"/api/llm/later", b"content-length: 15000000", method=b"POST"))
        line.writer.write(b"x" * 15_000_000)
        await asyncio.sleep(3 * limits.body_window)
        puppet.go.set()
        status, _, body = await line.answer()
    assert (status, body) == (200, b"15000000")


async def test_a_long_answer_is_not_cut_because_the_client_is_quiet(gateway: Gateway, puppet: Puppet) -> None:
    async with gateway(limits=HASTY) as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/stream", b"connection: close"), b"GET /")
        await asyncio.sleep(3 * HASTY.head_time)
        puppet.go.set()
        answered = await line.everything()
    assert b"second" in answered
    assert answered.endswith(b"0\r\n\r\n")


async def test_an_answer_that_nobody_reads_is_dropped(gateway: Gateway) -> None:
    async with gateway(limits=HASTY) as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/flood"))
        await asyncio.sleep(3 * HASTY.unread_time)  # the time itself is what is tested
        received = 0
        with contextlib.suppress(ConnectionError):
            while piece := await line.reader.read(1 << 20):
                received += len(piece)
    assert received < 50 * len(MEGABYTE)


async def test_connections_beyond_the_limit_are_closed_at_once(gateway: Gateway) -> None:
    async with gateway(limits=LIMITS._replace(connections=3)) as client:
        lines = [await asyncio.open_connection(client.base_url.host, client.base_url.port) for _ in range(5)]
        async with asyncio.timeout(5):
            ends = [asyncio.create_task(reader.read(1)) for reader, _ in lines]
            await asyncio.wait(ends[3:])
        assert [end.done() for end in ends] == [False, False, False, True, True]
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        for _, writer in lines:
            writer.close()
