"""What goes through the gateway, in both directions, over both kinds of upstream."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import Request

from shared.upstreams import HttpUpstream
from tests.api_gateway.conftest import Gateway, gateway_over, silent_service
from tests.api_gateway.puppet import Puppet
from tests.serving import served
from tests.tokens import auth_stub


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"])
async def test_any_method_and_body_arrives_as_it_was_sent(gateway: Gateway, method: str) -> None:
    async with gateway() as client:
        answer = await client.request(method, "/api/llm/mirror/é%20a?q=%C3%A7&q=ç&x=a+b", content=b"\x00\xff body")
    seen = answer.json()
    assert seen["method"] == method
    assert seen["path"] == "/api/llm/mirror/é a"
    assert seen["query"] == "q=%C3%A7&q=%C3%A7&x=a+b"
    assert seen["body"] == "\x00\xff body"


async def test_a_request_without_a_body_arrives_without_one(gateway: Gateway) -> None:
    async with gateway() as client:
        seen = (await client.get("/api/llm/mirror")).json()
    assert seen["body"] == ""
    assert not {"content-length", "transfer-encoding"} & {name for name, _ in seen["headers"]}


async def test_a_connection_header_takes_nothing_away_that_the_gateway_adds(gateway: Gateway) -> None:
    """Without `x-forwarded-for`, guesses at passwords would be the gateway's own, and the audit's addresses too."""
    added = ["authorization", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "traceparent"]
    options = ", ".join([*added, "host", "content-length", "x-hop"])
    async with gateway() as client:
        answer = await client.post(
            "/api/llm/mirror", content=b"body", headers={"connection": options, "x-hop": "1", "x-mine": "kept"}
        )
    assert answer.status_code == 200
    seen = answer.json()
    headers = dict(seen["headers"])
    assert [name for name in added if name not in headers] == []
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-mine"] == "kept"
    assert headers["content-length"] == "4"
    assert "x-hop" not in headers
    assert "connection" not in headers or headers["connection"] == "keep-alive"
    assert seen["body"] == "body"


async def test_forged_and_hop_by_hop_headers_stay_outside(gateway: Gateway) -> None:
    forged = {
        "x-synapscale-user": "root",
        "x-user-id": "usr_1",
        "x-organization-id": "org_1",
        "x-auth-request-user": "root",
        "remote-user": "root",
        "forwarded": "for=1.2.3.4",
        "x-forwarded-for": "1.2.3.4",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil.example",
        "x-real-ip": "1.2.3.4",
    }
    hop = {
        "connection": "keep-alive, x-hop",
        "keep-alive": "1",
        "te": "trailers",
        "proxy-authorization": "x",
        "x-hop": "1",
    }
    async with gateway() as client:
        answer = await client.get("/api/llm/mirror", headers={**forged, **hop, "x-mine": "kept"})
        own = str(client.base_url.netloc, "ascii")
    headers = dict(answer.json()["headers"])
    assert headers["x-mine"] == "kept"
    assert headers["authorization"].startswith("Bearer ")
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == own
    assert headers["x-request-id"] == answer.headers["x-request-id"]
    gone = set(forged) - {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"} | {"x-hop", "te", "keep-alive"}
    assert not (gone | {"proxy-authorization"}) & set(headers)


async def test_a_request_id_of_the_clients_is_kept_if_it_is_well_formed(gateway: Gateway) -> None:
    async with gateway() as client:
        kept = await client.get("/api/llm/mirror", headers={"x-request-id": "my-id.1"})
        replaced = await client.get("/api/llm/mirror", headers={"x-request-id": "no good"})
    assert kept.headers["x-request-id"] == "my-id.1"
    assert dict(kept.json()["headers"])["x-request-id"] == "my-id.1"
    assert replaced.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("code", [200, 201, 204, 304, 404, 418, 500])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_status_and_headers_come_back(gateway: Gateway, method: str, code: int) -> None:
    async with gateway() as client:
        answer = await client.request(method, f"/api/llm/status/{code}")
    assert answer.status_code == code
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-kept"].encode("latin-1").decode("latin-1") == "ação"
    assert answer.content == (b"ok" if method == "GET" and code not in (204, 304) else b"")


async def test_encoded_bodies_are_not_touched(gateway: Gateway) -> None:
    async with gateway() as client, client.stream("GET", "/api/llm/gzip") as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert b"".join([piece async for piece in answer.aiter_raw()]) == b"\x1f\x8bnot really"


async def test_a_piece_of_the_answer_arrives_before_the_next_is_made(gateway: Gateway, puppet: Puppet) -> None:
    async with gateway() as client, client.stream("GET", "/api/llm/stream") as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"first"
        puppet.go.set()
        assert b"".join([piece async for piece in pieces]) == b"second"


async def test_a_piece_of_the_request_arrives_before_the_next_is_sent(gateway: Gateway, puppet: Puppet) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(puppet.got_piece.wait(), 5)
        yield b"second"

    async with gateway() as client:
        answer = await client.post("/api/llm/upload", content=body())
    assert answer.content == b"firstsecond"
    assert puppet.received[0] == b"first"


async def test_httpx2_can_carry_requests_and_answers_instead(puppet: Puppet) -> None:
    async with served(puppet.app) as url:
        llm = HttpUpstream("llm", url=url, transport="httpx2")
        async with gateway_over(auth_stub(), llm, silent_service("chat")) as client:
            seen = (await client.post("/api/llm/mirror/%C3%A9?q=a+b", content=b"body", headers={"x-mine": "1"})).json()
            grown = await client.post("/api/llm/upload", content=_pieces(b"piece", count=3))
            async with client.stream("GET", "/api/llm/stream") as answer:
                pieces = answer.aiter_raw()
                assert await anext(pieces) == b"first"
                puppet.go.set()
                assert b"".join([piece async for piece in pieces]) == b"second"
            packed = await client.send(client.build_request("GET", "/api/llm/gzip"), stream=True)
            assert b"".join([piece async for piece in packed.aiter_raw()]) == b"\x1f\x8bnot really"
    assert (seen["path"], seen["query"], seen["body"]) == ("/api/llm/mirror/é", "q=a+b", "body")
    assert dict(seen["headers"])["x-mine"] == "1"
    assert grown.content == b"piece" * 3


async def test_a_large_upload_passes(gateway: Gateway) -> None:
    async with gateway() as client:
        answer = await client.post("/api/llm/length", content=b"x" * 15_000_000)
    assert answer.text == "15000000"


async def test_a_reader_that_stands_still_stops_the_service(gateway: Gateway, puppet: Puppet) -> None:
    """100 MB are offered and nobody reads: what is on the way is bounded by sockets, not by memory."""
    async with gateway() as client, client.stream("GET", "/api/llm/flood"):
        before = -1
        while puppet.sent_megabytes != before:  # until nothing moves any more
            before = puppet.sent_megabytes
            await asyncio.sleep(0.3)
        assert 0 < puppet.sent_megabytes < 40


@pytest.mark.parametrize("content", [b"", b"question"])
async def test_a_client_that_leaves_before_the_answer_ends_it(gateway: Gateway, puppet: Puppet, content: bytes) -> None:
    async with gateway() as client:
        asking = asyncio.create_task(client.post("/api/llm/silence", content=content))
        await asyncio.wait_for(puppet.started.wait(), 5)
        asking.cancel()
        await asyncio.wait_for(puppet.disconnected.wait(), 5)
        await asyncio.gather(asking, return_exceptions=True)


async def test_an_answer_that_breaks_off_does_not_look_whole(gateway: Gateway) -> None:
    async with gateway() as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get("/api/llm/half")


async def test_a_service_that_breaks_before_its_answer_is_a_500_without_details(gateway: Gateway) -> None:
    async with gateway() as client:
        answer = await client.get("/api/llm/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_declared_body_over_the_limit_is_refused_at_once(gateway: Gateway) -> None:
    async with gateway(max_body_bytes=1000) as client:
        answer = await client.post("/api/llm/length", content=b"x" * 1001)
        exact = await client.post("/api/llm/length", content=b"x" * 1000)
    assert answer.status_code == 413
    assert answer.json()["code"] == "content_too_large"
    assert exact.text == "1000"


async def test_a_body_that_grows_over_the_limit_is_refused_when_it_does(gateway: Gateway) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with gateway(max_body_bytes=1000) as client:
        answer = await client.post("/api/llm/length", content=body())
    assert answer.status_code == 413
    assert answer.json()["code"] == "content_too_large"


@pytest.mark.parametrize("path", ["/api/auth/register", "/api/auth/token", "/api/auth/revoke"])
async def test_strangers_send_auth_service_no_large_bodies(path: str) -> None:
    """Read as JSON, twenty megabytes of empty lists were 500 MB, and three seconds in which nobody was answered."""
    auth = auth_stub()
    reached = []

    @auth.app.post(path)
    async def read(request: Request) -> None:
        reached.append(len(await request.body()))

    async with gateway_over(auth, silent_service("llm"), silent_service("chat")) as client:
        declared = await client.post(path, content=b"[" + b"[]," * 30_000)
        chunked = await client.post(path, content=_pieces(b"[]," * 1000, count=30))
        small = await client.post(path, content=b"[]" * 30_000)
    assert [answer.status_code for answer in (declared, chunked, small)] == [413, 413, 200]
    assert declared.json()["limit"] == 65536
    assert reached == [60_000]


async def _pieces(piece: bytes, *, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield piece
