"""What no polite client sends: two readings, two ends, two hosts, too much."""

import asyncio

import msgspec
import pytest

from tests.api_gateway.conftest import Gateway
from tests.api_gateway.puppet import Puppet
from tests.api_gateway.raw import Line, connected, head, status_of

# Paths


@pytest.mark.parametrize(
    "target",
    [
        b"/api/auth/token/../me",
        b"/api/auth/token/%2e%2e/me",
        b"/api/auth/token/%2E./me",
        b"/api/auth/token/.%2e/me",
        b"/api/llm/./mirror",
        b"/api/llm/%2e/mirror",
        b"/api//llm/mirror",
        b"//api/llm/mirror",
        b"/api/llm%2fmirror",
        b"/api/llm%2Fmirror",
        b"/api/llm\\mirror",
        b"/api/llm%5cmirror",
        b"/api/auth/token;/me",
        b"/api/auth/token;a=b",
        b"/api/auth/token/..;/me",
        b"/api/auth/token%3b/me",
        b"/api/llm/mirror%00",
        b"/api/llm/mirror%00.json",
        b"/api/llm/mirror%0a",
        b"/api/llm/mirror%0d%0aset-cookie:%20a=b",
        b"/api/llm/mirror%7f",
        b"/api/llm/mirror%c2%85",
        b"/api/llm/%c0%ae%c0%ae/mirror",  # overlong dots
        b"/api/llm/%c0%af/mirror",  # an overlong slash
        b"/api/llm/%e0%80%af/mirror",
        b"/api/llm/%ff",
        b"/api/llm/%ed%a0%80",  # half a surrogate pair
        b"/api/auth/token/%252e%252e/me",
        b"/api/llm%252fmirror",
        b"/api/llm/mirror%2500",
        b"/api/llm/%25252e",
        b"/api/llm/mirror#/../me",
        b"/api/llm/mirror\xff",
        b"/api/llm/mirror?q=\xff",
        b"/api/llm/mirror\x00",
        b"/api/llm/mirror\x0b",
        b"api/llm/mirror",
        b"",
        b"*",
    ],
)
async def test_a_path_with_two_readings_is_refused(gateway: Gateway, puppet: Puppet, target: bytes) -> None:
    async with gateway() as client:
        assert await status_of(client, head(client, target)) in (400, 404 if target == b"*" else 400)
    assert not puppet.received


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/api/llm/mirror/100%25", "/api/llm/mirror/100%"),
        (b"/api/llm/mirror/a%20b", "/api/llm/mirror/a b"),
        (b"/api/llm/mirror/%C3%A9", "/api/llm/mirror/é"),
        (b"/api/llm/mirror/a...b", "/api/llm/mirror/a...b"),
        (b"/api/llm/mirror/gpt-4:free@1", "/api/llm/mirror/gpt-4:free@1"),
        (b"http://gateway/api/llm/mirror", "/api/llm/mirror"),
    ],
)
async def test_an_unusual_path_with_one_reading_passes(gateway: Gateway, target: bytes, path: str) -> None:
    async with gateway() as client, connected(client) as line:
        await line.say(head(client, target, b"connection: close"))
        status, _, body = await line.answer()
    assert status == 200
    assert msgspec.json.decode(body)["path"] == path


# To whom: absolute-form targets and the Host header


@pytest.mark.parametrize(
    "target",
    [
        b"http://evil.example/api/llm/mirror",
        b"https://gateway@evil.example/api/llm/mirror",
        b"http://gateway:80@evil.example/api/llm/mirror",
        b"http:///api/llm/mirror",
        b"http:/api/llm/mirror",
        b"ftp://gateway/api/llm/mirror",
        b"gateway:443",
    ],
)
async def test_a_target_that_names_another_host_is_refused(gateway: Gateway, target: bytes) -> None:
    async with gateway() as client:
        assert await status_of(client, head(client, target)) == 400


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE /api/llm/mirror x"])
async def test_a_tunnel_is_not_opened(gateway: Gateway, method: bytes) -> None:
    async with gateway() as client:
        assert await status_of(client, head(client, b"gateway:443", method=method)) == 400


@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"host: gateway\r\nhost: gateway",
        b"host: gateway\r\nhost: evil.example",
        b"host: gateway\r\nHOST: evil.example",
        b"host: ",
        b"host: gateway, evil.example",
        b"host: gateway evil.example",
        b"host: gateway/api/auth/token",
        b"host: user@gateway",
        b"host: gateway:80:90",
        b"host: gateway:http",
        b"host: gateway\\@evil.example",
        b"host: gate%00way",
        b"host: [::1",
        b"host: \xe9vil.example",
        b"host : gateway",
    ],
)
async def test_a_request_without_exactly_one_host_is_refused(gateway: Gateway, hosts: bytes) -> None:
    async with gateway() as client:
        request = head(client).replace(b"host: gateway\r\n", hosts + b"\r\n" if hosts else b"")
        assert await status_of(client, request) == 400


async def test_the_host_header_cannot_choose_the_route(gateway: Gateway) -> None:
    async with gateway() as client:
        for host in (b"api.auth.token", b"localhost:1", b"[::1]:8000"):
            request = head(client, b"/api/llm/mirror").replace(b"host: gateway", b"host: " + host)
            anonymous = request.replace(b"authorization:", b"x-nothing:")
            assert await status_of(client, request) == 200
            assert await status_of(client, anonymous) == 401


# Where a request ends


@pytest.mark.parametrize(
    "headers",
    [
        b"content-length: 1\r\ncontent-length: 2",
        b"content-length: 1\r\ncontent-length: 1",
        b"content-length: 1, 1",
        b"content-length: +1",
        b"content-length: -1",
        b"content-length: 0x1",
        b"content-length:",
        b"content-length: 99999999999999999999999",
        b"content-length: 5\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ncontent-length: 5",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity",
        b"transfer-encoding: identity",
        b"transfer-encoding: gzip, chunked",
        b"transfer-encoding: chunked, gzip",
        b"transfer-encoding: xchunked",
        b"transfer-encoding: chunked;q=1",
        b"transfer-encoding:\x0bchunked",
        b"transfer-encoding : chunked",
        b" transfer-encoding: chunked",
        b"transfer-encoding\x00: chunked",
        b"x-a: b\r\n transfer-encoding: chunked",  # obs-fold
        b"x-a: b\r\n\tcontinued",
        b"x-a: b\rtransfer-encoding: chunked",  # bare CR
        b"x-a: b\ntransfer-encoding: chunked",  # bare LF
        b"x-a: b\x00c",
        b"x a: b",
        b": b",
        b"no colon",
    ],
)
async def test_a_request_with_two_ends_is_refused_and_nothing_after_it_is_answered(
    gateway: Gateway, puppet: Puppet, headers: bytes
) -> None:
    async with gateway() as client, connected(client) as line:
        smuggled = head(client, b"/api/llm/upload", b"content-length: 0", method=b"POST")
        await line.say(head(client, b"/api/llm/length", headers, method=b"POST"), b"0\r\n\r\n", smuggled)
        line.writer.write_eof()
        answered = await line.everything()
    assert answered.startswith(b"HTTP/1.1 400")
    assert answered.count(b"HTTP/1.1 ") == 1
    assert not puppet.received


async def test_http_1_0_has_no_chunks(gateway: Gateway) -> None:
    async with gateway() as client:
        request = head(client, b"/api/llm/length", b"transfer-encoding: chunked", method=b"POST")
        assert await status_of(client, request.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n") == 400


@pytest.mark.parametrize(
    "version", [b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"HTTP/1.1.1", b"HTTPS/1.1", b""]
)
async def test_another_version_is_refused(gateway: Gateway, version: bytes) -> None:
    async with gateway() as client:
        assert await status_of(client, head(client).replace(b"HTTP/1.1", version)) == 400


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-1\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
    ],
)
async def test_a_malformed_chunk_is_refused(gateway: Gateway, body: bytes) -> None:
    async with gateway() as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/length", b"transfer-encoding: chunked", method=b"POST"), body)
        answered = await line.everything()
    assert answered.startswith(b"HTTP/1.1 400")
    assert answered.count(b"HTTP/1.1 ") == 1


async def test_chunk_extensions_end_at_the_gateway(gateway: Gateway, puppet: Puppet) -> None:
    async with gateway() as client, connected(client) as line:
        request = head(client, b"/api/llm/upload", b"transfer-encoding: chunked", b"connection: close", method=b"POST")
        await line.say(request, b'5;name=value;other="x"\r\nhello\r\n0\r\n\r\n')
        status, _, _ = await line.answer()
    assert status == 200
    assert b"".join(puppet.received) == b"hello"


async def test_a_body_of_chunk_extensions_is_cut_short(gateway: Gateway) -> None:
    """An extension is read, thrown away, and counted nowhere: without a bound, for ever."""
    async with gateway() as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/length", b"transfer-encoding: chunked", method=b"POST"), b"1;")
        with pytest.raises(ConnectionError):
            await repeated(line, b"x" * 65536, times=1000)


async def repeated(line: Line, piece: bytes, *, times: int) -> None:
    for _ in range(times):
        await line.say(piece)


async def test_a_trailer_cannot_pass_for_a_header(gateway: Gateway) -> None:
    async with gateway() as client, connected(client) as line:
        request = head(client, b"/api/llm/mirror", b"transfer-encoding: chunked", b"connection: close", method=b"POST")
        trailers = b"x-user-id: root\r\nx-late: 1\r\nhost: evil.example\r\nauthorization: Bearer x\r\n"
        await line.say(request, b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n")
        status, _, body = await line.answer()
    assert status == 200
    assert {"x-late", "x-user-id"} & {name for name, _ in msgspec.json.decode(body)["headers"]} == set()


async def test_an_upgrade_is_not_made_and_nothing_behind_it_is_read(gateway: Gateway) -> None:
    async with gateway() as client, connected(client) as line:
        upgrade = head(client, b"/api/llm/mirror", b"connection: upgrade, http2-settings", b"upgrade: h2c")
        await line.say(upgrade, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", head(client))
        answered = await line.everything()
    assert answered.startswith(b"HTTP/1.1 200")
    assert answered.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answered


async def test_pipelined_requests_are_answered_each_and_in_order(gateway: Gateway) -> None:
    async with gateway() as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/mirror/1"), head(client, b"/api/llm/mirror/2"))
        first, second = await line.answer(), await line.answer()
    assert [msgspec.json.decode(one[2])["path"][-1] for one in (first, second)] == ["1", "2"]


async def test_a_malformed_request_does_not_speak_into_the_answer_before_it(gateway: Gateway, puppet: Puppet) -> None:
    async with gateway() as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/stream"))
        async with asyncio.timeout(5):
            await line.reader.readuntil(b"first")
        await line.say(b"NOT HTTP\r\n\r\n")
        rest = await line.everything()
        puppet.go.set()
    assert b"HTTP/1.1" not in rest
    assert not rest.endswith(b"0\r\n\r\n")  # it does not look whole


# Size


async def test_a_long_target_is_414(gateway: Gateway) -> None:
    async with gateway() as client, connected(client) as line:
        await line.say(head(client, b"/v1/models?q=" + b"x" * 8192))
        status, headers, body = await line.answer()
        fits = await status_of(client, head(client, b"/api/llm/mirror?q=" + b"x" * 8000))
    assert status == 414
    assert headers["connection"] == "close"
    assert msgspec.json.decode(body)["error"]["code"] == "uri_too_long"
    assert fits == 200


@pytest.mark.parametrize(
    "headers",
    [
        [b"x-%d: 1" % number for number in range(99)],
        [b"x-%d: 1" % number for number in range(5000)],
        [b"x-a: " + b"x" * 32 * 1024],
        [b"x-a: " + b"x" * 1_000_000],
        [b"x" * 1_000_000 + b": a"],
        [b"authorization: Bearer " + b"x" * 1_000_000],
    ],
)
async def test_too_many_or_too_large_headers_are_431(gateway: Gateway, headers: list[bytes]) -> None:
    async with gateway() as client, connected(client) as line:
        await line.say(head(client, b"/api/llm/mirror", *headers))
        status, answered, body = await line.answer()
    assert status == 431
    assert answered["content-type"] == "application/problem+json"
    assert msgspec.json.decode(body)["code"] == "headers_too_large"


async def test_a_head_that_never_ends_is_431(gateway: Gateway) -> None:
    async with gateway() as client, connected(client) as line:
        await line.say(b"GET / HTTP/1.1\r\nx: ")
        for _ in range(8):
            await line.say(b"x" * 8192)
        assert (await line.answer())[0] == 431


async def test_the_gateway_still_takes_what_is_large_but_fits(gateway: Gateway) -> None:
    async with gateway() as client:
        headers = [b"x-%d: %s" % (number, b"y" * 300) for number in range(97)]
        assert await status_of(client, head(client, b"/api/llm/mirror", *headers)) == 200
