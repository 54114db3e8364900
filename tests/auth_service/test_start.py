"""The first start, the next ones, and those that must not happen."""

import asyncio
from pathlib import Path

import jwt
import pytest
from sqlalchemy import func, select

from auth_service.keys.models import SigningKey
from auth_service.keys.service import SecretKeyChanged
from auth_service.users.models import User
from shared.database import Sessions
from tests.auth_service.conftest import ADMIN_PASSWORD, StartAuth


async def test_two_replicas_that_start_at_once_make_one_admin_and_one_key(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async def start() -> None:
        async with start_auth():
            pass

    await asyncio.gather(*(start() for _ in range(4)))
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 1
        assert await session.scalar(select(func.count()).select_from(SigningKey)) == 1


async def test_a_token_is_good_after_a_restart(start_auth: StartAuth) -> None:
    async with start_auth() as auth:
        answer = await auth.post("/api/auth/token", json={"username": "admin", "password": ADMIN_PASSWORD})
    async with start_auth() as auth:
        token = answer.json()["access_token"]
        assert (await auth.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})).status_code == 200


async def test_a_replica_finds_the_key_of_another_that_was_first(start_auth: StartAuth) -> None:
    async with start_auth() as one, start_auth() as two:
        answer = await one.post("/api/auth/token", json={"username": "admin", "password": ADMIN_PASSWORD})
        token = answer.json()["access_token"]
        assert (await two.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})).status_code == 200


async def test_a_generated_password_is_kept_for_its_owner_only(start_auth: StartAuth, tmp_path: Path) -> None:
    async with start_auth(admin_password=None) as auth:
        file = tmp_path / "admin_password"
        assert file.stat().st_mode & 0o777 == 0o600
        body = {"username": "admin", "password": file.read_text()}
        assert (await auth.post("/api/auth/token", json=body)).status_code == 200


async def test_a_changed_setting_does_not_change_the_admins_password(start_auth: StartAuth) -> None:
    async with start_auth():
        pass
    async with start_auth(admin_password="another long password") as auth:
        old = await auth.post("/api/auth/token", json={"username": "admin", "password": ADMIN_PASSWORD})
    assert old.status_code == 200


async def test_the_private_key_is_not_in_the_database_in_clear(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth():
        pass
    async with sessions() as session:
        key = (await session.scalars(select(SigningKey))).one()
    assert "d" not in key.public_jwk
    assert not key.sealed_private_key.startswith(b"0\x81")  # how PKCS#8 begins
    point = jwt.utils.base64url_decode(key.public_jwk["x"])
    assert point not in key.sealed_private_key  # PKCS#8 contains the public point


async def test_another_secret_key_refuses_to_start_and_says_what_to_do(start_auth: StartAuth) -> None:
    async with start_auth():
        pass
    with pytest.raises(SecretKeyChanged, match="SYNAPSCALE_SECRET_KEY"):
        async with start_auth(secret_key="another-secret-of-the-tests-0123456789"):
            pass
