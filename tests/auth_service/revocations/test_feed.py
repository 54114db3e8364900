"""`GET /internal/auth/revocations`: who may read it, its pages, and what leaves it."""

import asyncio
import base64
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update

from auth_service.grants.service import LIFE_OF_A_TOKEN
from auth_service.revocations.models import Revocation
from auth_service.revocations.service import revoke
from auth_service.tokens.issuer import LIFE
from shared.auth.revocations import KEPT_FOR, LONGEST_LIFE
from shared.auth.services import service_authorization, service_key
from shared.auth.tokens import CLOCK_SKEW
from shared.database import Sessions
from tests.auth_service.conftest import ADMIN_PASSWORD, StartAuth
from tests.tokens import SECRET, make_token

FEED = "/internal/auth/revocations"
CHAT = {"authorization": service_authorization(SECRET, "chat")}


def basic(name: str, key: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{key}".encode()).decode()


async def read(auth: httpx2.AsyncClient, **query: int) -> dict[str, Any]:
    answer = await auth.get(FEED, params=query, headers=CHAT)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def revoke_all(sessions: Sessions, *subjects: str) -> None:
    async with sessions.begin() as session:
        await revoke(session, *subjects)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ???",
        "Basic /w==",
        basic("chat", ""),
        basic("chat", "0" * 64),
        basic("chat", service_key(SECRET, "llm")),
        basic("nobody", service_key(SECRET, "nobody")),
        basic("chat", service_key("another-secret-of-the-tests-0123456789", "chat")),
        basic("chat", "ключ"),
        "Bearer " + service_key(SECRET, "chat"),
        "Bearer " + make_token(),
    ],
)
async def test_only_a_service_with_its_own_key_reads_it(auth: httpx2.AsyncClient, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await auth.get(FEED, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert service_key(SECRET, "chat") not in answer.text


async def test_the_admins_own_token_is_no_service_key(auth: httpx2.AsyncClient) -> None:
    login = await auth.post("/api/auth/token", json={"username": "admin", "password": ADMIN_PASSWORD})
    headers = {"authorization": f"Bearer {login.json()['access_token']}"}
    for path in (FEED, "/internal/auth/token", "/internal/auth/grants", "/internal/auth/grants/gnt_1"):
        for method in ("GET", "POST", "DELETE"):
            answer = await auth.request(method, path, headers=headers)
            assert answer.status_code in (401, 405), (method, path)


async def test_pages_follow_each_other_and_end(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    await revoke_all(sessions, "ses_1", "ses_2")
    await revoke_all(sessions, "ses_3")
    first = await read(auth, limit=2)
    assert [row["subject"] for row in first["data"]] == ["ses_1", "ses_2"]
    second = await read(auth, limit=2, after=first["next"])
    assert [row["subject"] for row in second["data"]] == ["ses_3"]
    assert second["next"] is None
    assert (await read(auth, after=second["data"][0]["sequence"]))["data"] == []


async def test_it_says_when_in_seconds_since_the_epoch(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    await revoke_all(sessions, "ses_1")
    async with sessions() as session:
        now = (await session.scalar(select(func.extract("epoch", func.clock_timestamp())))) or 0
    (row,) = (await read(auth))["data"]
    assert float(now) - 5 < row["revoked_at"] <= float(now)


def test_no_token_outlives_the_revocation_that_ends_it() -> None:
    assert max(LIFE, LIFE_OF_A_TOKEN) <= LONGEST_LIFE < KEPT_FOR - 2 * CLOCK_SKEW


@pytest.mark.parametrize("query", [{"after": -1}, {"after": 2**63}, {"limit": 0}, {"limit": 1001}])
async def test_a_page_that_cannot_be_is_refused(auth: httpx2.AsyncClient, query: dict[str, int]) -> None:
    assert (await auth.get(FEED, params=query, headers=CHAT)).status_code == 422


async def test_what_has_expired_is_not_told_and_is_deleted_by_the_next_revocation(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await revoke_all(sessions, "ses_1")
    async with sessions.begin() as session:
        await session.execute(update(Revocation).values(expires_at=func.now() - timedelta(seconds=1)))
    assert (await read(auth))["data"] == []
    await revoke_all(sessions, "ses_2")
    async with sessions() as session:
        assert (await session.scalars(select(Revocation.subject))).all() == ["ses_2"]


async def test_a_replica_refuses_what_another_has_revoked(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth() as one, start_auth() as two:
        login = await one.post("/api/auth/token", json={"username": "admin", "password": ADMIN_PASSWORD})
        headers = {"authorization": f"Bearer {login.json()['access_token']}"}
        assert (await two.get("/api/auth/me", headers=headers)).status_code == 200
        user_id = (await one.get("/api/auth/me", headers=headers)).json()["id"]
        await revoke_all(sessions, user_id)
        await until_refused(one, headers)
        await until_refused(two, headers)


async def until_refused(auth: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    async with asyncio.timeout(5):
        while (await auth.get("/api/auth/me", headers=headers)).status_code != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
