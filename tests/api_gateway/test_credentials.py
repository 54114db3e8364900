"""API keys and other issuers' tokens at the door, with the real auth-service behind it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from api_gateway.upstreams import TABLE
from auth_service.main import create_app
from auth_service.organizations.models import Organization
from auth_service.settings import Settings
from shared.auth.api_keys import new_api_key
from shared.database import Sessions
from shared.upstreams import InProcessUpstream
from tests.api_gateway.conftest import gateway_over, silent_service
from tests.api_gateway.puppet import Puppet
from tests.auth_service.conftest import ADMIN_PASSWORD
from tests.auth_service.external.oidc import AUDIENCE, provider
from tests.tokens import SECRET, auth_stub, bearer

MIRROR = "/api/llm/mirror"
KEYS = "/api/auth/api-keys"
HEARD_WITHIN = 5.0
"""Seconds in which a revocation is in force everywhere; a minute is what is promised."""


@dataclass
class Door:
    """The gateway, its puppet, and how often auth-service was asked to exchange something."""

    client: httpx2.AsyncClient
    exchanges: list[str]

    async def seen(self, **headers: str) -> dict[str, Any]:
        answer = await self.client.get(MIRROR, headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def status(self, path: str = MIRROR, method: str = "GET", **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await self.client.request(method, path, headers=named)).status_code

    async def key(self, **body: Any) -> dict[str, Any]:
        asked = {"username": "admin", "password": ADMIN_PASSWORD}
        token = (await self.client.post("/api/auth/token", json=asked)).json()["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        made = await self.client.post(KEYS, json={"name": "sdk", **body}, headers=headers)
        assert made.status_code == 201, made.text
        return {**made.json(), "by": headers}


def counted(auth: InProcessUpstream) -> list[str]:
    exchanges: list[str] = []
    app = auth.app

    @app.middleware("http")
    async def count(request: Any, call_next: Any) -> Any:
        if request.url.path == "/internal/auth/token":
            exchanges.append(request.headers["authorization"])
        return await call_next(request)

    return exchanges


@asynccontextmanager
async def door_of(database_url: str, directory: Path, puppet: Puppet, **settings: Any) -> AsyncIterator[Door]:
    given = {"admin_password": ADMIN_PASSWORD, "secret_key": SECRET, "data_dir": directory, **settings}
    auth = InProcessUpstream("auth", app=create_app(Settings(database_url=database_url, **given)))
    exchanges = counted(auth)
    llm = InProcessUpstream("llm", app=puppet.app)
    async with gateway_over(auth, llm, silent_service("chat")) as client:
        del client.headers["authorization"]
        yield Door(client, exchanges)


@pytest.fixture
async def door(database_url: str, tmp_path: Path, puppet: Puppet) -> AsyncIterator[Door]:
    async with door_of(database_url, tmp_path, puppet) as opened:
        yield opened


def shown(seen: dict[str, Any], name: str) -> list[str]:
    return [value for each, value in seen["headers"] if each == name]


async def test_behind_the_gateway_a_key_is_a_token_of_ours(door: Door) -> None:
    made = await door.key(scopes=["llm:read"], requests_per_minute=7)
    seen = await door.seen(authorization=f"Bearer {made['key']}", x_api_key="something else")
    (authorization,) = shown(seen, "authorization")
    assert shown(seen, "x-api-key") == []
    assert made["key"] not in str(seen)
    claims = jwt.decode(authorization.removeprefix("Bearer "), options={"verify_signature": False})
    policy = {"requests_per_minute": 7, "key": made["id"]}
    assert (claims["sid"], claims["scope"], claims["policy"]) == (made["id"], "llm:read", policy)
    me = await door.client.get("/api/auth/me", headers={"authorization": f"Bearer {made['key']}"})
    assert me.json()["username"] == "admin"


async def test_a_key_is_exchanged_once_however_many_requests_show_it(door: Door) -> None:
    made = await door.key()
    headers = {"authorization": f"Bearer {made['key']}"}
    answers = await asyncio.gather(*(door.client.get(MIRROR, headers=headers) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(door.exchanges) == 1


async def test_a_mistyped_key_asks_nobody_and_an_unknown_one_asks_once(door: Door) -> None:
    key = new_api_key()
    mistyped = key[:-1] + ("a" if key[-1] != "a" else "b")
    for wrong in (mistyped, "sk-syn-", "sk-syn-" + "x" * 9000):
        assert await door.status(authorization=f"Bearer {wrong}") == 401
    assert door.exchanges == []
    assert [await door.status(authorization=f"Bearer {key}") for _ in range(5)] == [401] * 5
    assert len(door.exchanges) == 1


async def test_a_revoked_key_is_refused_within_seconds(door: Door) -> None:
    made = await door.key()
    assert await door.status(authorization=f"Bearer {made['key']}") == 200
    assert (await door.client.delete(f"{KEYS}/{made['id']}", headers=made["by"])).status_code == 204
    revoked_at = time.monotonic()
    async with asyncio.timeout(HEARD_WITHIN):
        while await door.status(authorization=f"Bearer {made['key']}") == 200:  # noqa: ASYNC110 # measured from outside
            await asyncio.sleep(0.05)
    print(f"a revoked key was refused after {time.monotonic() - revoked_at:.2f} s")
    assert await door.status(authorization=f"Bearer {made['key']}") == 401


async def test_x_api_key_counts_where_anthropics_clients_send_it(door: Door) -> None:
    key = (await door.key())["key"]
    there = 404  # let in: nothing answers /v1/messages behind the gateway yet
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        assert await door.status(path, "POST", x_api_key=key) == there
        assert await door.status(path, "POST", authorization=f"Bearer {key}") == there
        assert await door.status(path, "POST", authorization=f"Bearer {key}", x_api_key=key) == there
        assert await door.status(path, "POST", x_api_key=new_api_key()) == 401
        assert await door.status(path, "POST", x_api_key="x") == 401
        assert await door.status(path, "POST") == 401
    assert await door.status("/v1/models", x_api_key=key) == there
    for path in ("/v1/embeddings", "/v1/modelsx", "/v1/messagesx", MIRROR):
        assert await door.status(path, x_api_key=key) == 401


async def test_two_credentials_that_differ_are_400(door: Door) -> None:
    key, other = (await door.key())["key"], (await door.key())["key"]
    assert await door.status("/v1/messages", "POST", authorization=f"Bearer {key}", x_api_key=other) == 400
    assert await door.status("/v1/messages", "POST", authorization="Basic YTpi", x_api_key=key) == 400
    two = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {other}")]
    assert (await door.client.get(MIRROR, headers=two)).status_code == 400


async def test_the_table_says_which_scope_a_path_needs(door: Door) -> None:
    reader = f"Bearer {(await door.key(scopes=['llm:read']))['key']}"
    chatter = f"Bearer {(await door.key(scopes=['chat:read', 'chat:write']))['key']}"
    for path, method, credential, expected in (
        (MIRROR, "GET", reader, 200),
        (MIRROR, "HEAD", reader, 200),
        (MIRROR, "POST", reader, 403),
        (MIRROR, "DELETE", reader, 403),
        (MIRROR, "GET", chatter, 403),
        ("/v1/chat/completions", "POST", reader, 403),
        ("/api/chat/conversations", "GET", reader, 403),
        ("/api/chat/conversations", "GET", chatter, 404),
        ("/api/chat/messages", "POST", chatter, 404),
        ("/api/auth/me", "GET", chatter, 200),
    ):
        assert await door.status(path, method, authorization=credential) == expected, (path, method)
    refused = await door.client.post(MIRROR, headers={"authorization": reader})
    assert (refused.json()["code"], refused.json()["required_scope"]) == ("insufficient_scope", "llm:invoke")
    openai = await door.client.post("/v1/chat/completions", headers={"authorization": reader})
    assert openai.json()["error"]["type"] == "permission_error"


def test_every_row_is_public_has_scopes_or_is_auths_own() -> None:
    for route in TABLE:
        assert route.public != bool(route.read and route.write) or (route.service == "auth" and not route.read)


async def test_internal_routes_are_not_reached_from_outside(door: Door) -> None:
    made = await door.key(scopes=["admin"])
    for path in ("/internal/auth/token", "/internal/auth/revocations"):
        assert await door.status(path, "POST", authorization=f"Bearer {made['key']}") == 404


async def test_a_user_of_another_issuer_is_let_in(
    database_url: str, tmp_path: Path, puppet: Puppet, sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        session.add(Organization(id="org_acme", name="Acme"))
    async with provider() as issuer:
        entry = {"issuer": issuer.url, "audience": AUDIENCE, "organization": "org_acme", "default_role": "viewer"}
        async with door_of(database_url, tmp_path, puppet, oidc_issuers=[entry]) as door:
            token = f"Bearer {issuer.token()}"
            claims = jwt.decode(
                shown(await door.seen(authorization=token), "authorization")[0][7:],
                options={"verify_signature": False},
            )
            assert (claims["org"], claims["iss"]) == ("org_acme", "http://localhost:8000")
            assert await door.status(authorization=token) == 200
            assert len(door.exchanges) == 1
            assert await door.status(MIRROR, "POST", authorization=token) == 403
            assert await door.status(authorization=f"Bearer {issuer.token(aud='x')}") == 401
            assert await door.status(authorization=f"Bearer {issuer.token(iss='http://127.0.0.1:1')}") == 401
            issuer.is_down = True
            assert await door.status(authorization=token) == 200


async def test_a_gateway_that_auth_service_does_not_know_says_503(puppet: Puppet) -> None:
    stub = auth_stub()
    stub.app.router.routes[:] = [r for r in stub.app.router.routes if getattr(r, "path", "") != "/internal/auth/token"]
    async with gateway_over(stub, InProcessUpstream("llm", app=puppet.app), silent_service("chat")) as client:
        answer = await client.get(MIRROR, headers={"authorization": f"Bearer {new_api_key()}"})
        assert (await client.get(MIRROR, headers=bearer())).status_code == 200
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
