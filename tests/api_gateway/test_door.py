"""Who is let in, and by which path."""

import asyncio
import time

import pytest

from api_gateway.upstreams import find_route
from tests.api_gateway.conftest import Gateway, gateway_over, silent_service
from tests.tokens import auth_stub, make_token


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/v1", "llm"),
        ("/v1/models", "llm"),
        ("/v1x", None),
        ("/api/llm", "llm"),
        ("/api/llmx/models", None),
        ("/api/auth/me", "auth"),
        ("/api/auth/token", "auth"),
        ("/api/chat/messages", "chat"),
        ("/.well-known/jwks.json", "auth"),
        ("/.well-known/oauth-authorization-server", "auth"),
        ("/.well-known/other", None),
        ("/API/LLM", None),
        ("/", None),
    ],
)
def test_a_path_leads_to_one_service(path: str, service: str | None) -> None:
    route = find_route(path)
    assert (route.service if route else None) == service


@pytest.mark.parametrize("path", ["/api/llm/usage", "/api/llm/requests/req_1", "/api/llm/limits"])
def test_usage_and_limits_need_the_scope_of_usage(path: str) -> None:
    route = find_route(path)
    assert route is not None
    assert route.scope_for("GET") == "usage:read"


PUBLIC = (
    "/api/auth/token",
    "/api/auth/revoke",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
)


def test_only_what_needs_no_other_credential_is_public() -> None:
    assert [p for p in PUBLIC if (route := find_route(p)) and route.public] == list(PUBLIC)
    for path in (
        "/api/auth/me",
        "/api/auth/tokenx",
        "/api/auth/revokex",
        "/api/auth/logout",
        "/api/auth/sessions",
        "/api/llm/models",
        "/v1/models",
        "/api/chat/messages",
    ):
        route = find_route(path)
        assert route is not None
        assert not route.public


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Basic YTpi",
        "Bearer garbage",
        "Bearer a.b.c",
        "Bearer " + "x" * 10_000,
        "Bearer é",
    ],
)
async def test_a_credential_that_does_not_hold_is_401(gateway: Gateway, authorization: str | None) -> None:
    headers = {} if authorization is None else {b"authorization": authorization.encode("latin-1")}
    async with gateway() as client:
        del client.headers["authorization"]
        ours = await client.get("/api/llm/mirror", headers=headers)
        openai = await client.get("/v1/models", headers=headers)
    assert ours.status_code == openai.status_code == 401
    assert ours.headers["www-authenticate"].startswith("Bearer")
    assert ours.json()["code"] == "unauthorized"
    assert openai.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    "token",
    [
        {"exp": int(time.time()) - 60},
        {"aud": "somebody-else"},
        {"iss": "http://elsewhere"},
        {"sub": None},
        {"sid": None},
        {"org": None},
        {"scope": None},
        {"jti": None},
        {"sub": 7},
        {"headers": {"typ": "JWT"}},
        {"headers": {"kid": "unknown"}},
    ],
)
async def test_a_token_that_is_not_quite_right_is_401(gateway: Gateway, token: dict[str, object]) -> None:
    async with gateway() as client:
        answer = await client.get("/api/llm/mirror", headers={"authorization": f"Bearer {make_token(**token)}"})  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_an_unknown_path_is_404_in_the_shape_of_its_surface(gateway: Gateway) -> None:
    async with gateway() as client:
        del client.headers["authorization"]
        answer = await client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["instance"] == "/nowhere"


async def spoken(url: str, request: bytes) -> bytes:
    """What the gateway answers to bytes that no client library would send."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(5):
            return await reader.readuntil(b"\r\n")
    finally:
        writer.close()


@pytest.mark.parametrize(
    "target",
    [
        b"/api/auth/token/../me",
        b"/api/auth/%2e%2e/llm/mirror",
        b"/api//llm/mirror",
        b"//api/llm/mirror",
        b"/api/llm/mirror/.",
        b"/api%2fllm/mirror",
        b"/api/llm%5cmirror",
        b"/api/llm\\mirror",
        b"/api/llm/%00",
        b"/api/llm/%0d%0aevil",
    ],
)
async def test_a_path_with_two_readings_is_refused(gateway: Gateway, target: bytes) -> None:
    async with gateway() as client:
        line = await spoken(
            str(client.base_url), b"GET " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
    assert line.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "headers",
    [
        b"host: a\r\nhost: b\r\n",
        b"host: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n",
        b"host: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n",
        b"host: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"host: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n",
        b"host: a\r\ncontent-length: -1\r\n",
        b"host: a\r\nevil header: x\r\n",
    ],
)
async def test_a_request_with_two_ends_or_two_hosts_is_refused(gateway: Gateway, headers: bytes) -> None:
    async with gateway() as client:
        request = b"POST /api/auth/token HTTP/1.1\r\n" + headers + b"connection: close\r\n\r\n0\r\n\r\n"
        line = await spoken(str(client.base_url), request)
    assert line.startswith(b"HTTP/1.1 400")


async def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(gateway: Gateway) -> None:
    async with gateway() as client:
        request = (
            b"POST /api/llm/length HTTP/1.1\r\nhost: x\r\nauthorization: "
            + client.headers["authorization"].encode()
            + b"\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"
        )
        assert (await spoken(str(client.base_url), request)).startswith(b"HTTP/1.1 100")


async def test_browsers_may_call_from_the_origins_that_are_listed() -> None:
    origin = {"origin": "https://app.example"}
    preflight = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    services = [auth_stub(), silent_service("llm"), silent_service("chat")]
    async with gateway_over(*services, cors_origins="https://app.example, https://b.example") as client:
        del client.headers["authorization"]
        allowed = await client.options("/api/chat/messages", headers=preflight)
        refused = await client.get("/api/llm/models", headers=origin)
        stranger = await client.get("/health/live", headers={"origin": "https://evil.example"})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-request-id" in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in stranger.headers


async def test_without_the_setting_no_origin_may_call(gateway: Gateway) -> None:
    async with gateway() as client:
        answer = await client.get("/health/live", headers={"origin": "https://app.example"})
    assert "access-control-allow-origin" not in answer.headers
