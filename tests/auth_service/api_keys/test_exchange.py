"""An API key, turned into an access token: as the key and its owner are at that moment."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import jwt
import pytest
from sqlalchemy import Engine, delete, event, select, update

from auth_service.api_keys.models import ApiKey
from auth_service.organizations.models import Membership
from auth_service.users.models import User
from shared.auth.api_keys import new_api_key
from shared.auth.services import service_authorization
from shared.database import Sessions
from tests.auth_service.api_keys.conftest import Caller, exchange
from tests.auth_service.api_keys.test_keys import SETTINGS
from tests.tokens import SECRET


def claims_of(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    claims: dict[str, Any] = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    return claims


async def set_key(sessions: Sessions, key_id: str, **values: Any) -> None:
    async with sessions.begin() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(**values))


async def test_the_token_carries_scopes_and_policy_of_the_key(ana: Caller) -> None:
    created = await ana.create(**SETTINGS)
    claims = claims_of(await exchange(ana.auth, created["key"]))
    assert claims["sid"] == created["id"]
    assert claims["sub"] == ana.user_id
    assert set(claims["scope"].split()) == {"llm:read", "llm:invoke"}
    assert claims["policy"] == {
        "models": ["gpt-4o", "org/a-model"],
        "requests_per_minute": 60,
        "tokens_per_minute": 100_000,
        "concurrent_requests": 4,
        "budget": {"usd": "12.50", "period": "month"},
        "key": created["id"],
    }
    unlimited = claims_of(await exchange(ana.auth, (await ana.create())["key"]))
    assert "policy" not in unlimited
    assert unlimited["exp"] - unlimited["iat"] == 900


async def test_the_largest_policy_fits_into_a_token_that_is_taken(ana: Caller) -> None:
    models = [f"{number:02}" + "é" * 10 for number in range(45)]
    created = await ana.create(**SETTINGS | {"allowed_models": models})
    token = (await exchange(ana.auth, created["key"])).json()["access_token"]
    listed = await ana.auth.get("/api/auth/api-keys", headers={"authorization": f"Bearer {token}"})
    assert listed.status_code == 200


async def test_a_key_never_may_more_than_its_owner_today(ana: Caller, sessions: Sessions) -> None:
    created = await ana.create()
    async with sessions.begin() as session:
        await session.execute(update(Membership).where(Membership.user_id == ana.user_id).values(role="viewer"))
    scope = claims_of(await exchange(ana.auth, created["key"]))["scope"]
    assert set(scope.split()) == {"llm:read", "chat:read", "usage:read"}


async def test_the_token_ends_with_the_key(ana: Caller, sessions: Sessions) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=90)
    created = await ana.create(expires_at=ends.isoformat())
    claims = claims_of(await exchange(ana.auth, created["key"]))
    assert time.time() < claims["exp"] <= ends.timestamp()


async def test_what_does_not_hold_is_refused_in_the_same_words(ana: Caller, sessions: Sessions) -> None:
    revoked, expired, mine = await ana.create(), await ana.create(), await ana.create()
    await ana.call("DELETE", f"/{revoked['id']}")
    await set_key(sessions, expired["id"], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert (await exchange(ana.auth, mine["key"])).status_code == 200
    refused = [await exchange(ana.auth, key) for key in (revoked["key"], expired["key"], new_api_key())]
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == ana.user_id).values(disabled_at=datetime.now(UTC)))
    refused.append(await exchange(ana.auth, mine["key"]))
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == ana.user_id).values(disabled_at=None))
        await session.execute(delete(Membership).where(Membership.user_id == ana.user_id))
    refused.append(await exchange(ana.auth, mine["key"]))
    assert {answer.status_code for answer in refused} == {400}
    assert {answer.json()["error"] for answer in refused} == {"invalid_request"}
    assert len({answer.json()["error_description"] for answer in refused}) == 1


async def test_a_mistyped_key_costs_no_query(ana: Caller) -> None:
    key = (await ana.create())["key"]
    asked: list[str] = []

    def listen(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "auth.revocations" not in statement:  # the service follows them all the time
            asked.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        for wrong in (key[:-1] + ("a" if key[-1] != "a" else "b"), "sk-syn-", "x" * 8000, "sk-syn-\0"):
            assert (await exchange(ana.auth, wrong)).status_code == 400
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    assert asked == []


async def test_its_use_is_noted_once_a_minute(ana: Caller, sessions: Sessions) -> None:
    created = await ana.create()

    async def last_used() -> datetime | None:
        async with sessions() as session:
            return await session.scalar(select(ApiKey.last_used_at).where(ApiKey.id == created["id"]))

    assert await last_used() is None
    await asyncio.gather(*(exchange(ana.auth, created["key"]) for _ in range(10)))
    first = await last_used()
    assert first is not None
    await exchange(ana.auth, created["key"])
    assert await last_used() == first
    await set_key(sessions, created["id"], last_used_at=first - timedelta(seconds=61))
    await exchange(ana.auth, created["key"])
    noted = await last_used()
    assert noted is not None
    assert noted >= first


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer x",
        service_authorization("another secret", "gateway"),
        service_authorization(SECRET, "gateway")[:-4],
    ],
)
async def test_only_services_exchange(ana: Caller, authorization: str | None) -> None:
    key = (await ana.create())["key"]
    answer = await exchange(ana.auth, key, authorization=authorization)
    assert answer.status_code == 401
    mine = await exchange(ana.auth, key, authorization=f"Bearer {ana.token}")
    assert mine.status_code == 401


async def test_both_keys_hold_during_the_overlap(ana: Caller) -> None:
    old = await ana.create()
    new = (await ana.call("POST", f"/{old['id']}/rotate", overlap_seconds=60)).json()
    assert (await exchange(ana.auth, old["key"])).status_code == 200
    assert (await exchange(ana.auth, new["key"])).status_code == 200
    newest = (await ana.call("POST", f"/{new['id']}/rotate", overlap_seconds=0)).json()
    assert (await exchange(ana.auth, new["key"])).status_code == 400
    assert (await exchange(ana.auth, newest["key"])).status_code == 200
