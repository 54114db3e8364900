"""The wire when the server or the caller does not go on: what is told, and what is left open."""

import asyncio
import contextlib
import random
import resource
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from shared.http.wire import Wire, render_head
from shared.http.wire_answer import MOST_WAITING, WireAnswer
from shared.http.wire_connection import LARGEST_HEAD
from shared.http.wire_errors import BrokenOff, NotHttp, TooSlow, WireError
from tests.shared.wire.peers import OK, POST, Peer, answering, certificate, serving, wired

pytestmark = pytest.mark.asyncio(loop_scope="function")

STARTED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"


def then(raw: bytes, *, reset: bool = False) -> Callable[[Peer], "asyncio.Future[None]"]:
    """Says this, and ends the connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(raw)
        await peer.writer.drain()
        if reset:
            await asyncio.sleep(0.05)  # else the reset overtakes what was said
            peer.reset()

    return script  # type: ignore[return-value]


async def whole(wire: Wire) -> bytes:
    answer = await wire.send(POST, b"{}", connect_timeout=5, answer_timeout=5)
    return await answer.body(2**20, timeout=5)


@pytest.mark.parametrize(
    ("raw", "after_headers"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\ncontent-le", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234", True),
        (STARTED, True),
        (STARTED + b"0\r\n", True),
        (STARTED + b"a", True),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_an_answer_that_is_cut_is_told_as_broken_off(raw: bytes, after_headers: bool, reset: bool) -> None:
    async with wired(then(raw, reset=reset)) as (wire, _):
        with pytest.raises(BrokenOff) as told:
            await whole(wire)
        assert (told.value.after_headers, told.value.reused, told.value.reset) == (after_headers, False, reset)


async def test_what_arrived_before_the_break_is_given_first() -> None:
    async with wired(then(STARTED)) as (wire, server):
        answer = await wire.send(POST, b"{}", connect_timeout=5)
        await asyncio.wait_for(server.all_gone.wait(), 5)
        await asyncio.sleep(0.01)
        assert await answer.read(5) == b"hello"
        with pytest.raises(BrokenOff):
            await answer.read(5)


async def test_a_reset_ends_a_body_that_the_connection_ends() -> None:
    async with wired(then(b"HTTP/1.1 200 OK\r\n\r\nhalf", reset=True)) as (wire, _):
        with pytest.raises(BrokenOff):
            await whole(wire)


async def test_a_kept_connection_that_breaks_before_its_answer_says_that_it_was_kept() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(OK)
        await peer.request()

    async with wired(script) as (wire, _):
        assert await whole(wire) == b"hello"
        with pytest.raises(BrokenOff) as told:
            await whole(wire)
        assert told.value.reused
        assert not told.value.after_headers


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        b"HTTP/1.1 99 No\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nabc",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx y: a\r\ncontent-length: 5\r\n\r\nhello",
        STARTED + b"zz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: 1\r\n" * 129 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: %b\r\n" % (b"a" * LARGEST_HEAD) + b"\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n" * 4000,
        STARTED + b"0\r\n" + b"x: 1\r\n" * 40_000,
        STARTED + b"1;" + b"a" * 400_000,
    ],
)
async def test_what_is_not_http_is_refused_and_left(raw: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(raw)
        await peer.gone()

    async with wired(script) as (wire, server):
        with pytest.raises(NotHttp):
            await whole(wire)
        await asyncio.wait_for(server.all_gone.wait(), 5)


@pytest.mark.parametrize("seed", range(3))
async def test_garbage_never_hangs(seed: int) -> None:
    chance = random.Random(seed)  # not a secret
    valid = [OK, STARTED + b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nrest", b"HTTP/1.1 204 No\r\n\r\n"]

    async def script(peer: Peer) -> None:
        await peer.request()
        raw = bytearray(chance.choice(valid) * 2)
        for _ in range(chance.randrange(4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        peer.say(bytes(raw[: chance.randrange(len(raw) + 1)]))

    async with wired(script) as (wire, server):
        for _ in range(200):
            with contextlib.suppress(WireError):
                await asyncio.wait_for(whole(wire), 5)
        wire.close()
        await asyncio.wait_for(server.all_gone.wait(), 5)


async def test_silence_is_told_and_its_connection_closed() -> None:
    async def script(peer: Peer) -> None:
        head, _ = await peer.request()
        if b"/started" in head:
            peer.say(STARTED)
        await peer.gone()

    async with wired(script) as (wire, server):
        with pytest.raises(TooSlow):
            await wire.send(POST, b"", connect_timeout=5, answer_timeout=0.05)
        answer = await wire.send(
            render_head(b"POST", b"/started", [(b"host", b"x")]), b"", connect_timeout=5, answer_timeout=5
        )
        assert await answer.read(0.05) == b"hello"
        with pytest.raises(TooSlow):
            await answer.read(0.05)
        await asyncio.wait_for(server.all_gone.wait(), 5)


async def test_a_server_that_takes_nothing_is_told() -> None:
    async def script(peer: Peer) -> None:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]  # StreamReader reads by itself
        await asyncio.sleep(0.3)
        peer.reset()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1_000_000)

    async with wired(script) as (wire, _):
        with pytest.raises(TooSlow) as told:
            await wire.send_stream(POST, endless(), length=None, connect_timeout=5, write_timeout=0.1)
        assert told.value.sending


@pytest.mark.parametrize("stage", ["handshake", "headers", "body", "sending"])
async def test_a_cancelled_call_is_seen_by_the_server_at_once(stage: str, tmp_path: Path) -> None:
    _, ours = certificate(tmp_path)
    reached = asyncio.Event()

    async def script(peer: Peer) -> None:
        if stage == "handshake":
            await peer.reader.read(1)
        else:
            await peer.reader.readuntil(b"\r\n\r\n")
        if stage == "body":
            peer.say(STARTED)
            await peer.writer.drain()
            await asyncio.sleep(0.02)
        reached.set()
        await peer.gone()

    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"piece"
            await asyncio.sleep(0.01)

    async def calls(wire: Wire) -> None:
        if stage == "sending":
            await wire.send_stream(POST, forever(), length=None, connect_timeout=5)
        answer = await wire.send(POST, b"", connect_timeout=5)
        while await answer.read():
            pass

    async with serving(script) as server:
        scheme, context = ("https", ours) if stage == "handshake" else ("http", None)
        wire = Wire(f"{scheme}://127.0.0.1:{server.port}", ssl=context)
        task = asyncio.create_task(calls(wire))
        await reached.wait()
        since = time.monotonic()
        task.cancel()
        await asyncio.wait_for(server.all_gone.wait(), 5)
        assert time.monotonic() - since < 0.1
        with pytest.raises(asyncio.CancelledError):
            await task
        assert wire._taken == 0  # a lost place shows only when all are lost


async def test_closing_an_answer_early_closes_its_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(STARTED)
        await peer.gone()

    async with wired(script) as (wire, server):
        answer = await wire.send(POST, b"", connect_timeout=5)
        answer.close()
        await asyncio.wait_for(server.all_gone.wait(), 5)
        with pytest.raises(BrokenOff):
            await answer.read()


async def test_closing_the_wire_ends_every_call() -> None:
    reached = asyncio.Event()

    async def script(peer: Peer) -> None:
        reached.set()
        await peer.gone()

    async with wired(script, connections=1) as (wire, server):
        tasks = [asyncio.create_task(whole(wire)) for _ in range(3)]
        await reached.wait()
        wire.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, WireError) for result in results)
        await asyncio.wait_for(server.all_gone.wait(), 5)


async def test_a_thousand_calls_cancelled_at_random_leave_nothing() -> None:
    chance = random.Random(7)  # not a secret

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            for part in (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\nab\r\n", b"0\r\n\r\n"):
                peer.say(part)
                await asyncio.sleep(chance.random() / 500)

    async def one(wire: Wire, number: int) -> None:
        with contextlib.suppress(TimeoutError, WireError):
            async with asyncio.timeout(chance.random() / 50):
                if number % 4:
                    assert await whole(wire) == b"ab"
                else:
                    answer = await wire.send_stream(POST, _slowly(), length=None, connect_timeout=5)
                    await answer.body(10)

    async with wired(script, connections=50) as (wire, server):
        for _ in range(10):
            await asyncio.gather(*(one(wire, number) for number in range(100)))
        assert await whole(wire) == b"ab"
        await asyncio.sleep(0.01)
        assert wire._taken == len(wire._idle) == len(wire._open)  # no place is lost
        wire.close()
        await asyncio.wait_for(server.all_gone.wait(), 5)


async def _slowly() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"piece"
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_slow_reader_slows_the_server_and_costs_no_memory(tls: bool, tmp_path: Path) -> None:
    theirs, ours = certificate(tmp_path)
    size, sent = 100_000_000, 0
    piece = bytes(100_000)

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // len(piece)):
            peer.say(piece)
            await peer.writer.drain()
            sent += len(piece)
        await peer.gone()

    async with serving(script, tls=theirs if tls else None) as server:
        wire = Wire(f"{'https' if tls else 'http'}://127.0.0.1:{server.port}", ssl=ours if tls else None)
        answer = await wire.send(POST, b"", connect_timeout=5)
        got = await _some(answer, 2_000_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await asyncio.sleep(0.3)  # the server could send all of it in this time
        assert sent < got + 20_000_000  # what the sockets hold
        assert answer.waiting < MOST_WAITING + 2**19
        got += await _some(answer, size - got)
        assert got == size
        assert await answer.read() == b""
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2048
        assert await whole_is_possible(wire, server.opened)
        wire.close()


async def _some(answer: WireAnswer, size: int) -> int:
    got = 0
    while got < size:
        got += len(await answer.read(5))
    return got


async def whole_is_possible(wire: Wire, opened: int) -> bool:
    """The connection went back to the pool."""
    return len(wire._idle) == opened == 1


async def test_the_connection_of_a_paused_answer_is_used_again() -> None:
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n" + bytes(200_000)
    async with wired(answering(big)) as (wire, server):
        for _ in range(5):
            answer = await wire.send(POST, b"", connect_timeout=5)
            await asyncio.sleep(0.005)
            assert len(await answer.body(200_000, 5)) == 200_000
        assert server.opened == 1
