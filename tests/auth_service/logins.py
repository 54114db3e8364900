"""Logins and renewals as a client makes them."""

from typing import Any

import httpx2
import jwt

from tests.auth_service.conftest import ADMIN_PASSWORD

TOKEN = "/api/auth/token"

Json = dict[str, Any]


async def log_in(
    auth: httpx2.AsyncClient, username: str = "admin", password: str = ADMIN_PASSWORD, **more: Any
) -> Json:
    answer = await auth.post(TOKEN, json={"username": username, "password": password, **more})
    assert answer.status_code == 200, answer.text
    tokens: Json = answer.json()
    return tokens


async def refresh(auth: httpx2.AsyncClient, refresh_token: str, **more: Any) -> httpx2.Response:
    return await auth.post(TOKEN, json={"grant_type": "refresh_token", "refresh_token": refresh_token, **more})


def bearing(tokens: Json) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens['access_token']}"}


def claims_of(tokens: Json) -> Json:
    claims: Json = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    return claims
