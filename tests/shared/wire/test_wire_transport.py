"""The wire beneath httpx2: the same answers and exceptions as httpx2's own transport, from the same servers."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest

from shared.http.wire_transport import WireTransport
from tests.shared.wire.peers import OK, Peer, Script, answering, serving

pytestmark = pytest.mark.asyncio(loop_scope="function")

New = Callable[[], httpx2.AsyncBaseTransport]
STARTED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.fixture(params=[WireTransport, httpx2.AsyncHTTPTransport], ids=["wire", "httpx2"])
def transport(request: pytest.FixtureRequest) -> New:
    new: New = request.param
    return new


@contextlib.asynccontextmanager
async def talking(transport: New, script: Script, timeout: float = 5) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        serving(script) as server,
        httpx2.AsyncClient(
            transport=transport(), base_url=f"http://127.0.0.1:{server.port}", timeout=httpx2.Timeout(5, read=timeout)
        ) as client,
    ):
        yield client


async def parts(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_bodies_of_every_kind_arrive(transport: New) -> None:
    bodies: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            bodies.append((await peer.request())[1])
            peer.say(OK)

    async with talking(transport, script) as client:
        assert (await client.get("/")).text == "hello"
        for content in (b"", b"bytes", bytes(200_000), parts(b"one", b"two")):
            assert (await client.post("/", content=content)).text == "hello"
        answer = await client.put("/", content=parts(b"12", b"34"), headers={"content-length": "4"})
        assert (answer.status_code, answer.headers["content-length"]) == (200, "5")
    assert bodies == [b"", b"", b"bytes", bytes(200_000), b"onetwo", b"1234"]


async def test_pieces_are_given_as_they_come(transport: New) -> None:
    more = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(STARTED)
        await more.wait()
        peer.say(b"2\r\n!!\r\n0\r\n\r\n")
        await peer.gone()

    async with talking(transport, script) as client, client.stream("POST", "/") as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"hello"
        more.set()
        assert await anext(pieces) == b"!!"
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)


async def test_target_and_headers_go_out_byte_for_byte_and_come_back_so(transport: New) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append((await peer.request())[0])
        peer.say(b"HTTP/1.1 299 Odd\r\nset-cookie: a=1\r\nx-name: caf\xe9\r\nset-cookie: b=2\r\nx-empty:\r\n")
        peer.say(b"content-length: 0\r\n\r\n")
        await peer.gone()

    async with talking(transport, script) as client:
        url = client.base_url.copy_with(raw_path=b"/a//b;c/%41?x='1'&%2e%2E")
        sent = [(b"host", b"h"), (b"X-Twice", b"1"), (b"X-Twice", b"2"), (b"X-Name", b"caf\xe9")]
        answer = await client.send(httpx2.Request("GET", url, headers=sent))
    assert heads[0].split(b"\r\n")[:5] == [
        b"GET /a//b;c/%41?x='1'&%2e%2E HTTP/1.1",
        b"host: h",
        b"X-Twice: 1",
        b"X-Twice: 2",
        b"X-Name: caf\xe9",
    ]
    assert answer.status_code == 299
    assert answer.headers.raw[:-1] == [
        (b"set-cookie", b"a=1"),
        (b"x-name", b"caf\xe9"),
        (b"set-cookie", b"b=2"),
        (b"x-empty", b""),
    ]


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ],
)
async def test_answers_without_a_body_keep_their_connection(transport: New, method: str, raw: bytes) -> None:
    opened: list[Peer] = []

    async def script(peer: Peer) -> None:
        opened.append(peer)
        while True:
            await peer.request()
            peer.say(raw)

    async with talking(transport, script) as client:
        for _ in range(3):
            answer = await client.request(method, "/")
            assert (answer.content, "link" in answer.headers) == (b"", False)
    assert len(opened) == 1


async def test_packed_bodies_and_redirects_pass_as_they_are(transport: New) -> None:
    packed = gzip.compress(b"hello" * 100)
    head = b"HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with talking(transport, answering(head, packed)) as client, client.stream("GET", "/") as answer:
        assert (answer.status_code, answer.headers["location"]) == (302, "/b")
        assert b"".join([piece async for piece in answer.aiter_raw()]) == packed


@pytest.mark.parametrize("known", [True, False])
async def test_a_server_that_takes_nothing_is_a_write_timeout(transport: New, known: bool) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's is a ReadTransport
        await asyncio.sleep(0.5)

    content = parts(*[bytes(1_000_000)] * 30)
    headers = {"content-length": "30000000"} if known else {}
    async with talking(transport, script) as client:
        with pytest.raises(httpx2.WriteTimeout):
            await client.post("/", content=content, headers=headers, timeout=httpx2.Timeout(5, write=0.05))


@pytest.mark.parametrize(
    ("raw", "reset", "error"),
    [
        (b"", False, httpx2.RemoteProtocolError),
        (b"", True, httpx2.ReadError),
        (STARTED, False, httpx2.RemoteProtocolError),
        (STARTED, True, httpx2.ReadError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", False, httpx2.RemoteProtocolError),
        (b"SSH-2.0\r\n\r\n", False, httpx2.RemoteProtocolError),
    ],
)
async def test_broken_answers_raise_the_same(
    transport: New, raw: bytes, reset: bool, error: type[httpx2.HTTPError]
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(raw)
        await peer.writer.drain()
        if reset:
            await asyncio.sleep(0.05)  # else the reset overtakes what was said
            peer.reset()

    async with talking(transport, script) as client:
        with pytest.raises(httpx2.HTTPError) as told:
            await client.post("/", content=b"x")
        assert type(told.value) is error
        assert told.value.request.method == "POST"


@pytest.mark.parametrize("raw", [b"", STARTED])
async def test_silence_is_a_read_timeout(transport: New, raw: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(raw)
        await peer.gone()

    async with talking(transport, script, timeout=0.05) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.post("/", content=b"x")


async def test_a_slow_body_is_no_read_timeout(transport: New) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0.1)
            yield b"x"

    async with talking(transport, answering(OK), timeout=0.3) as client:
        assert (await client.post("/", content=slow())).text == "hello"


async def test_a_body_of_another_length_is_a_local_protocol_error() -> None:  # h11's own, in httpx2
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with talking(WireTransport, script) as client:
        for content in (parts(b"abc"), parts(b"abc", b"def")):
            with pytest.raises(httpx2.LocalProtocolError):
                await client.post("/", content=content, headers={"content-length": "4"})
        with pytest.raises(httpx2.LocalProtocolError):
            await client.post("/", headers={b"x": b"a\r\nb: c"})


async def test_what_the_body_raises_reaches_the_caller(transport: New) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise LookupError

    async def script(peer: Peer) -> None:
        await peer.gone()

    async with talking(transport, script) as client:
        with pytest.raises(LookupError):
            await client.post("/", content=broken())


async def _refused(client: httpx2.AsyncClient) -> None:
    await client.get("http://127.0.0.1:1/")


async def _ftp(client: httpx2.AsyncClient) -> None:
    await client.get("ftp://127.0.0.1/")


@pytest.mark.parametrize(("call", "error"), [(_refused, httpx2.ConnectError), (_ftp, httpx2.UnsupportedProtocol)])
async def test_who_cannot_be_called_raises_the_same(
    transport: New, call: Callable[[httpx2.AsyncClient], Awaitable[None]], error: type[httpx2.HTTPError]
) -> None:
    async with httpx2.AsyncClient(transport=transport()) as client:
        with pytest.raises(error):
            await call(client)


async def test_a_full_pool_is_a_pool_timeout() -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with (
        serving(script) as server,
        httpx2.AsyncClient(transport=WireTransport(connections=1), timeout=httpx2.Timeout(5, connect=0.05)) as client,
    ):
        url = f"http://127.0.0.1:{server.port}/"
        first = asyncio.create_task(client.get(url))
        await asyncio.sleep(0)
        with pytest.raises(httpx2.PoolTimeout):
            await client.get(url)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_reader_who_leaves_closes_the_connection(transport: New) -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(STARTED)
        await peer.gone()
        left.set()

    async with talking(transport, script) as client:
        async with client.stream("POST", "/") as answer:
            assert await anext(answer.aiter_raw()) == b"hello"
        await asyncio.wait_for(left.wait(), 5)
