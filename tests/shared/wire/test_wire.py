"""The wire: answers of every framing, however they are cut; connections kept and shared."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.http.wire import Wire, render_head
from shared.http.wire_answer import WireAnswer
from shared.http.wire_errors import (
    BrokenOff,
    ConnectFailed,
    ConnectTimedOut,
    PoolExhausted,
    TooLarge,
    WrongLength,
)
from tests.shared.wire.peers import (
    GET,
    OK,
    POST,
    Peer,
    answering,
    certificate,
    serving,
    wired,
)

pytestmark = pytest.mark.asyncio(loop_scope="function")

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\n"
TRAILERS = CHUNKED[:-2] + b"x-sum: 1\r\nx-more: 2\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK


async def call(wire: Wire, head: bytes = POST, body: bytes | None = b"{}") -> tuple[int, bytes]:
    answer = await wire.send(head, body, connect_timeout=5, answer_timeout=5)
    return answer.status, await answer.body(2**20, timeout=5)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


@pytest.mark.parametrize("raw", [OK, CHUNKED, TRAILERS, INTERIM], ids=["length", "chunked", "trailers", "interim"])
async def test_an_answer_is_the_same_however_it_is_cut(raw: bytes) -> None:
    cuts = [[raw], *([raw[:i], raw[i:]] for i in range(1, len(raw)))]
    cuts.append([raw[i : i + 1] for i in range(len(raw))])
    served = iter(cuts)

    async def script(peer: Peer) -> None:
        for parts in served:
            await peer.request()
            for part in parts:
                peer.say(part)
                await peer.writer.drain()
                await asyncio.sleep(0.0005)  # a segment of its own

    async with wired(script) as (wire, server):
        for _ in cuts:
            assert await call(wire) == (200, b"hello")
        assert server.opened == 1


@pytest.mark.parametrize(
    ("raw", "status", "body", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, b"to the end", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab", 200, b"ab", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nab", 200, b"ab", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: Close\r\n\r\nab", 200, b"ab", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b"", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b"", True),
        (OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", 200, b"hello", False),
        (OK + b"H", 200, b"hello", False),
        (OK + b"\0", 200, b"hello", False),
        (b"HTTP/1.1 429 Too Many\r\ncontent-length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nab", 429, b"ab", True),
    ],
)
async def test_framings_and_what_becomes_of_the_connection(raw: bytes, status: int, body: bytes, kept: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(raw)
        if kept:
            await peer.request()
            peer.say(OK)
            await peer.gone()
        elif b"to the end" not in raw:
            await peer.gone()

    async with wired(script) as (wire, server):
        assert await call(wire) == (status, body)
        if kept:
            assert await call(wire) == (200, b"hello")
        else:
            await asyncio.wait_for(server.all_gone.wait(), 5)
        assert server.opened == 1


async def test_a_head_answer_has_no_body_whatever_its_length_says() -> None:
    async def script(peer: Peer) -> None:
        while True:
            asked, _ = await peer.request()
            peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + b"12345" * asked.startswith(b"POST"))

    async with wired(script) as (wire, server):
        head = render_head(b"HEAD", b"/", [(b"host", b"x")])
        for _ in range(3):
            assert await call(wire, head, None) == (200, b"")
            assert await call(wire, POST, b"{}") == (200, b"12345")
        assert server.opened == 1


async def test_a_head_answer_that_has_a_body_all_the_same_ends_its_connection() -> None:
    async with wired(answering(OK)) as (wire, server):
        head = render_head(b"HEAD", b"/", [(b"host", b"x")])
        for _ in range(2):
            assert await call(wire, head, None) == (200, b"")
            await asyncio.wait_for(server.all_gone.wait(), 5)
        assert server.opened == 2


async def test_headers_keep_their_order_and_lose_their_case() -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-B: 1 \r\nx-a:\xff\r\nX-b: 2\r\ncontent-length: 0\r\n\r\n"
    async with wired(answering(raw)) as (wire, _):
        answer = await wire.send(POST, b"", connect_timeout=5)
        assert answer.headers[:3] == [(b"x-b", b"1"), (b"x-a", b"\xff"), (b"x-b", b"2")]
        assert answer.complete


async def test_trailers_are_dropped_and_no_headers_of_the_next_answer() -> None:
    async with wired(answering(TRAILERS)) as (wire, server):
        for _ in range(2):
            answer = await wire.send(POST, b"", connect_timeout=5)
            assert await answer.body(5, 5) == b"hello"
            assert answer.headers == [(b"transfer-encoding", b"chunked")]
        assert server.opened == 1


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_000])
async def test_a_request_arrives_as_it_was_given(size: int) -> None:
    got: list[tuple[bytes, bytes]] = []

    async def script(peer: Peer) -> None:
        while True:
            got.append(await peer.request())
            peer.say(OK)

    body = random.Random(1).randbytes(size)  # not a secret
    async with wired(script) as (wire, server):
        assert await call(wire, POST, body) == (200, b"hello")
        assert await call(wire, GET, None) == (200, b"hello")
        answer = await wire.send_stream(POST, pieces(body[:7], b"", body[7:]), length=None, connect_timeout=5)
        assert await answer.body(9) == b"hello"
        answer = await wire.send_stream(POST, pieces(body), length=size, connect_timeout=5)
        assert await answer.body(9) == b"hello"
        assert server.opened == 1
    length = b"content-length: %d\r\n\r\n" % size
    assert got == [
        (POST + length, body),
        (GET + b"\r\n", b""),
        (POST + b"transfer-encoding: chunked\r\n\r\n", body),
        (POST + length, body),
    ]


async def test_the_answer_is_read_while_the_request_is_sent() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while size := int(await peer.reader.readuntil(b"\r\n"), 16):
            piece = (await peer.reader.readexactly(size + 2))[:-2]
            peer.say(b"%x\r\n%b\r\n" % (size, piece))
        peer.say(b"0\r\n\r\n")
        await peer.gone()

    turn: asyncio.Queue[bytes] = asyncio.Queue()

    async def body() -> AsyncIterator[bytes]:
        while piece := await turn.get():
            yield piece

    async with wired(script) as (wire, _):
        answer = await wire.send_stream(POST, body(), length=None, connect_timeout=5)
        for word in (b"one", b"two"):
            turn.put_nowait(word)
            assert await answer.read(5) == word
        turn.put_nowait(b"")
        assert await answer.read(5) == b""


async def test_an_early_answer_ends_the_sending_and_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await peer.gone()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10_000)
            await asyncio.sleep(0)

    async with wired(script) as (wire, server):
        answer = await wire.send_stream(POST, endless(), length=None, connect_timeout=5)
        assert (answer.status, await answer.body(9, 5)) == (413, b"no")
        await asyncio.wait_for(server.all_gone.wait(), 5)


async def test_a_connection_that_has_not_taken_all_of_a_request_is_not_used_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno")
        await peer.gone()

    async with wired(script) as (wire, server):
        for _ in range(2):
            assert await asyncio.wait_for(call(wire, body=bytes(32_000_000)), 5) == (400, b"no")
        await asyncio.wait_for(server.all_gone.wait(), 5)


async def test_what_the_body_raises_is_raised_to_the_caller() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise LookupError("the client left")

    async def script(peer: Peer) -> None:
        await peer.gone()

    async with wired(script) as (wire, server):
        with pytest.raises(LookupError):
            await wire.send_stream(POST, broken(), length=None, connect_timeout=5)
        for length, parts in ((3, [b"ab"]), (3, [b"ab", b"cd"])):
            with pytest.raises(WrongLength):
                await wire.send_stream(POST, pieces(*parts), length=length, connect_timeout=5)
        await asyncio.wait_for(server.all_gone.wait(), 5)


async def test_nagle_is_off() -> None:
    async with wired(answering(OK)) as (wire, _):
        await call(wire)
        (connection,) = wire._idle  # the option is visible nowhere else
        assert connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_connection_closed_while_idle_is_not_used() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(OK)
        await peer.writer.drain()

    async with wired(script) as (wire, server):
        for expected in (1, 2, 3):
            assert await call(wire) == (200, b"hello")
            await asyncio.wait_for(server.all_gone.wait(), 5)
            await asyncio.sleep(0.01)  # what the server closed reaches us
            assert server.opened == expected


async def test_a_server_that_speaks_unasked_is_left() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(OK)
        await peer.writer.drain()
        await asyncio.sleep(0.01)
        peer.say(OK)
        await peer.gone()

    async with wired(script) as (wire, server):
        assert await call(wire) == (200, b"hello")
        await asyncio.wait_for(server.all_gone.wait(), 5)
        assert await call(wire) == (200, b"hello")
        assert server.opened == 2


async def test_few_connections_are_kept_and_not_for_ever() -> None:
    async with wired(answering(OK), idle=2, idle_seconds=0.2) as (wire, server):
        await asyncio.gather(*(call(wire) for _ in range(8)))
        opened = server.opened
        assert len(wire._idle) == 2  # how many are kept shows nowhere else
        await asyncio.wait_for(server.all_gone.wait(), 5)
        assert await call(wire) == (200, b"hello")
        assert server.opened == opened + 1


async def test_a_full_pool_serves_in_order_and_not_for_ever() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await go.wait()
            peer.say(OK)

    served: list[int] = []

    async def numbered(wire: Wire, number: int) -> None:
        await call(wire)
        served.append(number)

    async with wired(script, connections=1) as (wire, server):
        tasks = []
        for number in range(5):
            tasks.append(asyncio.create_task(numbered(wire, number)))
            await asyncio.sleep(0)
        with pytest.raises(PoolExhausted):
            await wire.send(POST, b"", connect_timeout=0.01)
        tasks.pop(2).cancel()
        go.set()
        await asyncio.gather(*tasks)
        assert served == [0, 1, 3, 4]
        assert server.opened == 1


async def test_a_place_is_free_again_after_every_failure() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number < 3:
            peer.reset()
        else:
            peer.say(OK)
            await answering(OK)(peer)

    async with wired(script, connections=1) as (wire, _):
        results = await asyncio.gather(*(call(wire) for _ in range(6)), return_exceptions=True)
    assert [isinstance(result, BrokenOff) for result in results[:3]] == [True] * 3
    assert results[3:] == [(200, b"hello")] * 3


async def test_tls_is_verified_and_speaks_http_1(tmp_path: Path) -> None:
    theirs, ours = certificate(tmp_path)
    protocols: list[str] = []

    async def script(peer: Peer) -> None:
        protocols.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while True:
            await peer.request()
            peer.say(OK)

    async with serving(script, tls=theirs) as server:
        wire = Wire(f"https://localhost:{server.port}", ssl=ours)
        assert await call(wire) == (200, b"hello")
        assert await call(wire, POST, bytes(300_000)) == (200, b"hello")
        stranger = Wire(f"https://localhost:{server.port}")
        with pytest.raises(ConnectFailed, match=r"(?i)certificate verify failed"):
            await call(stranger)
        other_name = Wire(f"https://127.0.0.2:{server.port}", ssl=ours)
        with pytest.raises(ConnectFailed):
            await call(other_name)
        assert protocols == ["http/1.1"]
        for each in (wire, stranger, other_name):
            each.close()
        await asyncio.wait_for(server.all_gone.wait(), 5)


async def test_who_is_not_there_is_told_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        wire = Wire(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ConnectFailed):
            await call(wire)
    with pytest.raises(ConnectFailed):
        await call(Wire("http://no.such.name.invalid"))


async def test_a_handshake_that_never_ends_times_out(tmp_path: Path) -> None:
    _, ours = certificate(tmp_path)

    async def script(peer: Peer) -> None:
        await peer.gone()

    async with serving(script) as server:
        wire = Wire(f"https://127.0.0.1:{server.port}", ssl=ours)
        with pytest.raises(ConnectTimedOut):
            await wire.send(POST, b"", connect_timeout=0.05)
        await asyncio.wait_for(server.all_gone.wait(), 1)


@pytest.mark.parametrize("header", [(b"x", b"a\r\nb: c"), (b"x\n", b"a"), (b"x:y", b"a"), (b"x", b"\0")])
async def test_a_header_cannot_smuggle_another(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="must not have"):
        render_head(b"POST", b"/", [header])


async def test_a_body_over_the_limit_is_refused() -> None:
    async with wired(answering(OK)) as (wire, _):
        answer: WireAnswer = await wire.send(POST, b"", connect_timeout=5)
        with pytest.raises(TooLarge):
            await answer.body(4)
