"""What services say to each other does not pass the gateway, however the path is written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request

from api_gateway.main import create_app
from api_gateway.settings import Settings
from api_gateway.upstreams import find_route
from shared.auth.services import service_authorization
from shared.upstreams import InProcessUpstream, Upstreams
from tests.api_gateway.conftest import silent_service
from tests.serving import served
from tests.tokens import PUBLIC_JWK, SECRET, WHOLE_RUN, bearer

CREDENTIALS = [bearer(exp=WHOLE_RUN)["authorization"], service_authorization(SECRET, "chat")]


class Auth:
    """An auth-service that answers everything, and remembers what came from outside."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.app = FastAPI()
        self.app.add_api_route("/.well-known/jwks.json", self.jwks)
        self.app.add_api_route("/{path:path}", self.answer, methods=["GET", "POST", "DELETE"])

    async def jwks(self) -> dict[str, object]:
        return {"keys": [PUBLIC_JWK]}

    async def answer(self, request: Request) -> dict[str, object]:
        if "x-forwarded-for" in request.headers:  # what the gateway itself asks has none
            self.reached.append(request.url.path)
        return {"data": [], "next": None}


@asynccontextmanager
async def gateway(auth: Auth) -> AsyncIterator[tuple[str, int]]:
    app = create_app(Settings(secret_key=SECRET))
    app.state.upstreams = Upstreams(
        [InProcessUpstream("auth", app=auth.app), silent_service("llm"), silent_service("chat")]
    )
    async with served(app) as url:
        host, port = url.removeprefix("http://").split(":")
        yield host, int(port)


async def status_of(where: tuple[str, int], method: str, target: str, authorization: str) -> int:
    reader, writer = await asyncio.open_connection(*where)
    head = [f"{method} {target} HTTP/1.1", "host: localhost", f"authorization: {authorization}", "content-length: 0"]
    writer.write("\r\n".join([*head, "connection: close", "", ""]).encode())
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


@pytest.mark.parametrize("authorization", CREDENTIALS, ids=["a user", "a service"])
@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/internal/auth/revocations", 404),
        ("POST", "/internal/auth/token", 404),
        ("POST", "/internal/auth/grants", 404),
        ("DELETE", "/internal/auth/grants/gnt_1", 404),
        ("GET", "/internal", 404),
        ("GET", "/INTERNAL/auth/revocations", 404),
        ("GET", "/%69nternal/auth/revocations", 404),
        ("GET", "http://localhost/internal/auth/revocations", 404),
        ("GET", "//internal/auth/revocations", 400),
        ("GET", "/api/auth/../../internal/auth/revocations", 400),
        ("GET", "/api/auth/%2e%2e/%2e%2e/internal/auth/revocations", 400),
        ("GET", "/api/auth/..%2f..%2finternal/auth/revocations", 400),
        ("GET", "/api/auth\\..\\..\\internal/auth/revocations", 400),
    ],
)
async def test_the_gateway_does_not_route_it(method: str, target: str, status: int, authorization: str) -> None:
    auth = Auth()
    async with gateway(auth) as where:
        assert await status_of(where, method, target, authorization) == status
        assert await status_of(where, "GET", "/api/auth/me", CREDENTIALS[0]) == 200
    assert auth.reached == ["/api/auth/me"]


def test_no_row_of_the_table_leads_there() -> None:
    assert find_route("/internal/auth/token") is None
