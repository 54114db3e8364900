"""`POST /api/auth/token`: a password in, a token out, and nothing told to who has neither."""

import asyncio
import itertools
import json
import time
from typing import Any

import httpx2
import jwt
import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from auth_service.users.models import User
from auth_service.users.passwords import Passwords
from shared.database import Sessions
from tests.auth_service.conftest import ADMIN_PASSWORD, StartAuth
from tests.auth_service.factories import PASSWORD, make_user

TOKEN = "/api/auth/token"


def login(username: str = "admin", password: str = ADMIN_PASSWORD, **fields: Any) -> dict[str, Any]:
    return {"username": username, "password": password, **fields}


async def test_a_password_gets_a_token_that_its_jwks_verifies(auth: httpx2.AsyncClient) -> None:
    answer = await auth.post(TOKEN, json=login())
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()
    assert token.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert token["token_type"] == "Bearer"
    assert token["expires_in"] == 900
    keys = (await auth.get("/.well-known/jwks.json")).json()["keys"]
    assert [set(key) for key in keys] == [{"kty", "crv", "x", "y", "kid", "alg", "use"}]
    header = jwt.get_unverified_header(token["access_token"])
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": keys[0]["kid"]}
    claims = jwt.decode(
        token["access_token"],
        jwt.PyJWK(keys[0]),
        algorithms=["ES256"],
        audience="synapscale",
        issuer="http://localhost:8000",
    )
    assert claims["exp"] - claims["iat"] == 900
    assert abs(claims["iat"] - time.time()) < 5
    assert claims["scope"] == token["scope"]
    assert claims["sub"].startswith("usr_")
    assert claims["org"].startswith("org_")


async def test_the_oauth2_form_gets_one_too(auth: httpx2.AsyncClient) -> None:
    answer = await auth.post(TOKEN, data=login(grant_type="password"), headers={"authorization": "Basic Og=="})
    assert answer.status_code == 200
    assert answer.json()["access_token"]


async def test_two_tokens_are_never_the_same(auth: httpx2.AsyncClient) -> None:
    tokens = [(await auth.post(TOKEN, json=login())).json()["access_token"] for _ in range(2)]
    ids = {jwt.decode(token, options={"verify_signature": False})["jti"] for token in tokens}
    assert len(ids) == 2


@pytest.mark.parametrize("typed", ["ana", "ANA", "  Ana ", "ａｎａ"])
async def test_a_username_is_found_however_it_is_typed(
    auth: httpx2.AsyncClient, sessions: Sessions, typed: str
) -> None:
    await make_user(sessions, "Ana")
    assert (await auth.post(TOKEN, json=login(typed, PASSWORD))).status_code == 200


@pytest.mark.parametrize(
    ("username", "password"),
    [("admin", "wrong"), ("nobody", ADMIN_PASSWORD), ("adm\0in", ADMIN_PASSWORD), ("\ud83d", "x"), ("'; --", "x")],
)
async def test_wrong_credentials_are_told_in_the_same_words(
    auth: httpx2.AsyncClient, username: str, password: str
) -> None:

    body = json.dumps(login(username, password)).encode()
    answer = await auth.post(TOKEN, content=body, headers={"content-type": "application/json"})
    if "\ud83d" in username:
        assert answer.status_code in (400, 401, 422)  # half of a surrogate pair is no text
        return
    assert answer.status_code == 401
    problem = answer.json()
    assert problem["code"] == "wrong_credentials"
    assert problem["error"] == "invalid_grant"
    assert problem["detail"] == "The username or the password is wrong."
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_an_unknown_user_costs_as_much_work_as_a_wrong_password(
    auth: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks inside, because time on a shared machine proves nothing: both paths verify one argon2 hash."""
    verified: list[str] = []
    original = Passwords._verify

    def counted(self: Passwords, password: str, password_hash: str) -> bool:
        verified.append(password_hash)
        return original(self, password, password_hash)

    monkeypatch.setattr(Passwords, "_verify", counted)
    await auth.post(TOKEN, json=login("admin", "wrong"))
    await auth.post(TOKEN, json=login("nobody", "wrong"))
    assert len(verified) == 2
    assert {each.split("$")[3] for each in verified} == {"m=19456,t=2,p=1"}


async def test_a_disabled_user_gets_none(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    user = await make_user(sessions)
    token = (await auth.post(TOKEN, json=login("ana", PASSWORD))).json()["access_token"]
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == user.id).values(disabled_at=func.now()))
    assert (await auth.post(TOKEN, json=login("ana", PASSWORD))).status_code == 401
    me = await auth.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})
    assert me.status_code == 401


async def test_a_scope_narrows_and_never_widens(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    await make_user(sessions, role="viewer")
    narrow = await auth.post(TOKEN, json=login("ana", PASSWORD, scope="chat:read"))
    wide = await auth.post(TOKEN, json=login("ana", PASSWORD, scope="chat:read admin"))
    assert narrow.json()["scope"] == "chat:read"
    assert wide.status_code == 400
    assert wide.json()["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_request"),
        (b"\xff", "application/json", 400, "malformed_request"),
        (b"[]", "application/json", 422, "invalid_request"),
        (b"{}", "application/json", 422, "invalid_request"),
        (b'{"username": 1, "password": "x"}', "application/json", 422, "invalid_request"),
        (b'{"username": "a", "password": null}', "application/json", 422, "invalid_request"),
        (b'{"username": "a", "password": "' + b"x" * 257 + b'"}', "application/json", 422, "invalid_request"),
        (b'{"username": "a", "password": "' + b"x" * 20_000 + b'"}', "application/json", 400, "malformed_request"),
        (b"username=admin&password=x", "application/x-www-form-urlencoded", 400, "unsupported_grant_type"),
        (b"grant_type=password&grant_type=password", "application/x-www-form-urlencoded", 400, "malformed_request"),
        (b"grant_type=refresh_token", "application/x-www-form-urlencoded", 422, "invalid_request"),
        (b"grant_type=implicit", "application/x-www-form-urlencoded", 400, "unsupported_grant_type"),
        (b'{"grant_type": "implicit"}', "application/json", 400, "unsupported_grant_type"),
        (b'{"grant_type": ["password"]}', "application/json", 400, "unsupported_grant_type"),
        (b"grant_type=password&username=%ff", "application/x-www-form-urlencoded", 400, "malformed_request"),
        (b"grant_type=password", "application/x-www-form-urlencoded", 422, "invalid_request"),
        (b"x", "text/plain", 415, "unsupported_media_type"),
        (b"x", "", 415, "unsupported_media_type"),
    ],
)
async def test_a_request_that_is_none_is_told_so(
    auth: httpx2.AsyncClient, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = await auth.post(TOKEN, content=content, headers={"content-type": kind} if kind else {})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["error"]  # OAuth2's clients look for it


async def test_a_hash_of_older_parameters_is_made_anew_at_login(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    user = await make_user(sessions, password_hash=old)
    assert (await auth.post(TOKEN, json=login("ana", PASSWORD))).status_code == 200
    async with sessions() as session:
        stored = await session.scalar(select(User.password_hash).where(User.id == user.id))
    assert stored is not None
    assert stored != old
    assert "m=19456,t=2,p=1" in stored
    assert (await auth.post(TOKEN, json=login("ana", PASSWORD))).status_code == 200


async def test_a_flood_of_logins_leaves_others_answered(start_auth: StartAuth) -> None:
    """Fifty logins wait for each other; who asks for something else is answered before most of them."""
    async with start_auth() as auth:
        finished: list[str] = []
        numbers = itertools.count()

        async def log_in() -> None:
            n = next(numbers)  # another account, another address: throttling must not spare the work
            answer = await auth.post(TOKEN, json=login(f"nobody{n}", "x"), headers={"x-forwarded-for": f"192.0.2.{n}"})
            assert answer.status_code == 401
            finished.append("login")

        async def ask_health() -> None:
            answer = await auth.get("/health")
            assert answer.status_code == 200
            finished.append("health")

        await asyncio.gather(*(log_in() for _ in range(50)), ask_health())
    assert finished.index("health") < 25
