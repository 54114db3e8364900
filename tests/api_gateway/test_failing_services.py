"""A service that is away, slow, or breaks off: 503, 504, 502, and never a traceback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from api_gateway.main import create_app
from api_gateway.settings import Settings
from shared.http.calls import HttpTransport
from shared.upstreams import HttpUpstream
from tests.api_gateway.conftest import gateway_over, silent_service
from tests.simulators.http import nothing_listens
from tests.tokens import auth_stub

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def service(behaviour: Behaviour) -> AsyncIterator[str]:
    """A server that reads a request's head and then does as `behaviour` does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behaviour(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-le")
    await writer.drain()


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the gateway gives up


async def speaks_gibberish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (breaks_off, 502, "bad_gateway"),
        (speaks_gibberish, 502, "bad_gateway"),
        (is_silent, 504, "gateway_timeout"),
    ],
)
@pytest.mark.parametrize("transport", ["asyncio", "httpx2"])
async def test_a_failing_service_is_told_as_a_problem(
    transport: HttpTransport, behaviour: Behaviour, status: int, code: str
) -> None:
    async with service(behaviour) as url:
        llm = HttpUpstream("llm", url=url, transport=transport)
        async with gateway_over(auth_stub(), llm, silent_service("chat"), upstream_timeout=0.3) as client:
            ours = await client.post("/api/llm/x", json={})
            openai = await client.post("/v1/chat/completions", json={})
    assert ours.status_code == openai.status_code == status
    assert ours.headers["content-type"] == "application/problem+json"
    assert ours.json()["code"] == openai.json()["error"]["code"] == code
    assert ours.json()["request_id"] == ours.headers["x-request-id"]


@pytest.mark.parametrize("transport", ["asyncio", "httpx2"])
async def test_a_service_that_is_away_is_503_and_says_when_to_try_again(transport: HttpTransport) -> None:
    with nothing_listens() as nowhere:
        llm = HttpUpstream("llm", url=nowhere, transport=transport)
        async with gateway_over(auth_stub(), llm, silent_service("chat")) as client:
            answer = await client.get("/api/llm/models")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "llm" in answer.json()["detail"]


async def test_without_keys_nobody_can_be_told_apart_and_that_is_503() -> None:
    with nothing_listens() as nowhere:
        auth = HttpUpstream("auth", url=nowhere)
        async with gateway_over(auth, silent_service("llm"), silent_service("chat")) as client:
            answer = await client.get("/api/llm/models")
    assert answer.status_code == 503


async def test_a_service_without_an_address_is_named_at_the_start() -> None:
    app = create_app(Settings(auth_url="http://127.0.0.1:1"))
    with pytest.raises(LookupError, match="SYNAPSCALE_LLM_URL"):
        async with app.router.lifespan_context(app):
            pass
