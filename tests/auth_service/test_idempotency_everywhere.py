"""Every POST of auth-service that creates takes an Idempotency-Key, and creates once."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from shared.database import Sessions
from tests.auth_service.logins import bearing, log_in

USER = {"username": "carla", "password": "violets grow on tuesday", "role": "member"}
CREATING = [
    ("/api/auth/users", USER, "users", False),
    ("/api/auth/organizations", {"name": "Second"}, "organizations", False),
    ("/api/auth/service-accounts", {"name": "robot", "role": "member"}, "users", False),
    ("/api/auth/api-keys", {"name": "laptop"}, "api_keys", True),
    ("/api/auth/organizations/{org}/invitations", {"role": "member"}, "invitations", True),
]


async def count(sessions: Sessions, table: str) -> int:
    async with sessions() as session:
        return int((await session.execute(text(f"SELECT count(*) FROM auth.{table}"))).scalar_one())


@pytest.mark.parametrize(("path", "body", "table", "secret"), CREATING)
async def test_a_repeated_key_creates_once(
    auth: httpx2.AsyncClient, sessions: Sessions, path: str, body: dict[str, Any], table: str, secret: bool
) -> None:
    headers = {**bearing(await log_in(auth)), "idempotency-key": "again"}
    me = (await auth.get("/api/auth/me", headers=headers)).json()
    path = path.format(org=me["organization"]["id"])
    before = await count(sessions, table)
    first = await auth.post(path, json=body, headers=headers)
    again = await auth.post(path, json=body, headers=headers)
    assert first.status_code == 201, first.text
    assert await count(sessions, table) == before + 1
    if secret:
        assert again.status_code == 409
        assert again.json()["id"] == first.json()["id"]
    else:
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["idempotency-replayed"] == "true"
