"""`GET /api/auth/me`, and the tokens that it does not take."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from auth_service.organizations.roles import ROLES
from shared.database import Sessions
from tests.auth_service.conftest import ADMIN_PASSWORD
from tests.auth_service.factories import PASSWORD, make_user
from tests.outage import outage
from tests.tokens import make_token


async def token_of(auth: httpx2.AsyncClient, username: str = "admin", password: str = ADMIN_PASSWORD) -> str:
    answer = await auth.post("/api/auth/token", json={"username": username, "password": password})
    return str(answer.json()["access_token"])


async def me(auth: httpx2.AsyncClient, authorization: str) -> httpx2.Response:
    return await auth.get("/api/auth/me", headers={"authorization": authorization})


async def test_it_says_who_you_are(auth: httpx2.AsyncClient) -> None:
    body = (await me(auth, f"Bearer {await token_of(auth)}")).json()
    assert body["username"] == "admin"
    assert body["role"] == "owner"
    assert body["organization"]["name"] == "Default"
    assert set(body["scopes"]) == set(ROLES["owner"])
    assert "password" not in str(body)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_gives_its_scopes(auth: httpx2.AsyncClient, sessions: Sessions, role: str) -> None:
    await make_user(sessions, role=role)
    body = (await me(auth, f"bearer {await token_of(auth, 'ana', PASSWORD)}")).json()
    assert set(body["scopes"]) == set(ROLES[role])


async def forged(auth: httpx2.AsyncClient, **change: Any) -> dict[str, str]:
    """Tokens that look like auth-service's own, each wrong in one thing."""
    good = await token_of(auth)
    header, claims = jwt.get_unverified_header(good), jwt.decode(good, options={"verify_signature": False})
    public = jwt.PyJWK((await auth.get("/.well-known/jwks.json")).json()["keys"][0]).key
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    head, body, signature = good.split(".")
    hs256 = {**header, "alg": "HS256"}
    return {
        "none": jwt.encode(claims, "", algorithm="none", headers={**header, "alg": "none"}),
        "hs256 with the PEM as secret": hmac_token(claims, pem, hs256),
        "hs256 with the DER as secret": hmac_token(claims, der, hs256),
        "another key under our kid": make_token(**claims, headers={"kid": header["kid"]}),
        "no signature": f"{head}.{body}.",
        "signature cut": good[:-4],
        "signature of zeros": f"{head}.{body}.{'A' * len(signature)}",
        "garbage": "garbage",
        "expired and unknown": make_token(exp=int(time.time()) - 100),
    }


def hmac_token(claims: dict[str, Any], secret: bytes, header: dict[str, Any]) -> str:
    """PyJWT refuses to make it, so it is made by hand."""

    def encoded(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    signing = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{signing}.{encoded(hmac.new(secret, signing.encode(), hashlib.sha256).digest())}"


async def test_a_forged_token_is_nobodys(auth: httpx2.AsyncClient) -> None:
    for name, token in (await forged(auth)).items():
        answer = await me(auth, f"Bearer {token}")
        assert answer.status_code == 401, name
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], name


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic YTpi", "Token abc", "Bearer a b"])
async def test_another_credential_is_nobodys(auth: httpx2.AsyncClient, authorization: str) -> None:
    answer = await me(auth, authorization)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="synapscale"')


async def test_a_slash_too_many_is_no_redirect_to_an_address_inside(
    auth: httpx2.AsyncClient,
) -> None:
    answer = await auth.get("/api/auth/me/")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "location" not in answer.headers


async def test_a_database_that_is_away_is_503_and_nobodys_fault(
    auth: httpx2.AsyncClient, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    login = {"username": "admin", "password": ADMIN_PASSWORD}
    token = (await auth.post("/api/auth/token", json=login)).json()["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    async with outage(database_url):
        answers = [
            await auth.get("/api/auth/me", headers=bearer),  # on a connection that is broken
            await auth.get("/api/auth/me", headers=bearer),  # on a new one
            await auth.post("/api/auth/token", json=login),
        ]
    back = await auth.get("/api/auth/me", headers=bearer)
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert {answer.json()["detail"] for answer in answers} == {"The database does not answer."}
    assert all(answer.headers["retry-after"] for answer in answers)
    assert back.status_code == 200
    assert "Traceback" not in caplog.text
