"""Somebody logged in, who makes keys."""

import json
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from auth_service.users.models import User
from shared.auth.exchange import API_KEY, EXCHANGE
from shared.auth.services import service_authorization
from shared.database import Sessions
from tests.auth_service.conftest import ADMIN_PASSWORD
from tests.auth_service.factories import PASSWORD, make_user
from tests.tokens import SECRET

KEYS = "/api/auth/api-keys"
GATEWAY = service_authorization(SECRET, "gateway")


@dataclass(frozen=True)
class Caller:
    """Calls auth-service with one credential."""

    auth: httpx2.AsyncClient
    token: str
    user_id: str

    async def call(self, method: str, path: str = "", **body: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        content = json.dumps(body) if body else None  # the client's own encoder refuses lone surrogates
        return await self.auth.request(
            method, KEYS + path, content=content, headers=headers | {"content-type": "application/json"}
        )

    async def create(self, name: str = "a key", **body: Any) -> dict[str, Any]:
        answer = await self.call("POST", name=name, **body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def logged_in(auth: httpx2.AsyncClient, username: str, password: str = PASSWORD, **fields: str) -> Caller:
    asked = {"username": username, "password": password, **fields}
    token = (await auth.post("/api/auth/token", json=asked)).json()["access_token"]
    me = await auth.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})
    return Caller(auth, token, me.json()["id"])


async def exchange(
    auth: httpx2.AsyncClient, key: str, *, authorization: str | None = GATEWAY, **fields: str
) -> httpx2.Response:
    form = {"grant_type": EXCHANGE, "subject_token": key, "subject_token_type": API_KEY, **fields}
    headers = {"authorization": authorization} if authorization else {}
    return await auth.post("/internal/auth/token", data=form, headers=headers)


async def with_key(auth: httpx2.AsyncClient, created: dict[str, Any]) -> Caller:
    """Who calls with that key, as the gateway lets them."""
    answer = await exchange(auth, created["key"])
    return Caller(auth, answer.json()["access_token"], created["user_id"])


@pytest.fixture
async def admin(auth: httpx2.AsyncClient) -> Caller:
    return await logged_in(auth, "admin", ADMIN_PASSWORD)


@pytest.fixture
async def ana_user(auth: httpx2.AsyncClient, admin: Caller, sessions: Sessions) -> User:
    """A member of the admin's organization."""
    me = await auth.get("/api/auth/me", headers={"authorization": f"Bearer {admin.token}"})
    return await make_user(sessions, "ana", organization_id=me.json()["organization"]["id"])


@pytest.fixture
async def ana(auth: httpx2.AsyncClient, ana_user: User) -> Caller:
    return await logged_in(auth, ana_user.username)


@pytest.fixture
async def stranger(auth: httpx2.AsyncClient, sessions: Sessions) -> Caller:
    """The owner of another organization."""
    await make_user(sessions, "eve", role="owner")
    return await logged_in(auth, "eve")
