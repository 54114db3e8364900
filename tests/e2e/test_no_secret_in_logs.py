"""What the platform writes down at its most talkative, while everything that could go wrong with a secret does."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import make_url

from tests.e2e.conftest import SHAPES
from tests.e2e.platforms import Platform, platform
from tests.leaks import leaks, secrets_of
from tests.outage import outage


class Visitor:
    """A client that keeps every secret which it has sent or was sent."""

    def __init__(self, url: str) -> None:
        self.client = httpx2.AsyncClient(base_url=url, trust_env=False, timeout=15)
        self.secrets: set[str] = set()
        self.statuses: list[int] = []

    def secret(self, prefix: str = "") -> str:
        made = prefix + secrets.token_urlsafe(24)
        self.secrets.add(made)
        return made

    async def ask(self, method: str, path: str, **request: Any) -> httpx2.Response:
        answer = await self.client.request(method, path, **request)
        self.statuses.append(answer.status_code)
        return answer

    async def log_in(self, password: str) -> dict[str, Any]:
        self.secrets.add(password)
        answer = await self.ask("POST", "/api/auth/token", json={"username": "admin", "password": password})
        told: dict[str, Any] = answer.json()
        self.secrets |= {told[name] for name in ("access_token", "refresh_token") if told.get(name)}
        return told


async def log_in_in_every_way(visitor: Visitor, password: str) -> str:
    token = str((await visitor.log_in(password))["access_token"])
    form = {"grant_type": "password", "username": "admin", "password": password}
    visitor.secrets.add((await visitor.ask("POST", "/api/auth/token", data=form)).json()["access_token"])
    await visitor.log_in(visitor.secret())
    wrong = {"username": visitor.secret("user-"), "password": visitor.secret()}
    await visitor.ask("POST", "/api/auth/token", json=wrong)
    return token


async def send_malformed_bodies(visitor: Visitor) -> None:
    for body in (
        {"username": "admin", "password": [visitor.secret()]},
        {"username": ["admin"], "password": visitor.secret()},
        {"username": "admin", "password": visitor.secret() * 20},
        {"username": "admin", "password": visitor.secret() + "\ud800"},
        {"username": "admin\0", "password": visitor.secret() + "\0"},
        {"password": visitor.secret()},
        [visitor.secret()],
    ):
        escaped = json.dumps(body)  # half of a surrogate pair has no UTF-8
        await visitor.ask("POST", "/api/auth/token", content=escaped, headers={"content-type": "application/json"})
    kinds = ("application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x")
    for kind in kinds:
        cut = f'{{"username": "admin", "password": "{visitor.secret()}'
        await visitor.ask("POST", "/api/auth/token", content=cut, headers={"content-type": kind})
    form = f"grant_type=refresh_token&refresh_token={visitor.secret()}&password={visitor.secret()}"
    await visitor.ask("POST", "/api/auth/token", content=form, headers={"content-type": kinds[1]})


async def show_bad_credentials(visitor: Visitor, token: str) -> None:
    forged = token[:-6] + "AAAAAA"
    visitor.secrets.add(forged)
    for header in (
        {"authorization": f"Bearer {forged}"},
        {"authorization": f"Bearer {visitor.secret('sk-syn-')}"},
        {"authorization": f"Basic {visitor.secret()}"},
        {"authorization": visitor.secret()},
        {"x-api-key": visitor.secret("sk-syn-")},
        {"cookie": f"session={visitor.secret()}"},
    ):
        await visitor.ask("GET", "/api/auth/me", headers=header)
        await visitor.ask("POST", "/v1/messages", headers=header, json={})
        await visitor.ask("GET", f"/api/auth/me?access_token={visitor.secret()}", headers=header)


async def use_everything(visitor: Visitor, token: str) -> None:
    bearer = {"authorization": f"Bearer {token}"}
    message = {"content": visitor.secret("said in confidence: "), "conversation_id": "conv_1"}
    key = {"idempotency-key": visitor.secret()}
    for body in (message, message | {"stream": True}, message | {"content": [visitor.secret()]}):
        await visitor.ask("POST", "/api/chat/messages", json=body, headers=bearer | key)
    made = await visitor.ask("POST", "/api/auth/api-keys", json={"name": "logs"}, headers=bearer)
    if made.status_code == 201:
        api_key = str(made.json()["key"])
        visitor.secrets.add(api_key)
        await visitor.ask("GET", "/v1/models", headers={"authorization": f"Bearer {api_key}"})
    change = {"current_password": visitor.secret(), "new_password": visitor.secret()}
    await visitor.ask("POST", "/api/auth/me/password", json=change, headers=bearer)


async def refresh(visitor: Visitor, password: str) -> None:
    token = (await visitor.log_in(password)).get("refresh_token")
    for _ in range(2 if token else 0):
        body = {"grant_type": "refresh_token", "refresh_token": token}
        told = (await visitor.ask("POST", "/api/auth/token", data=body)).json()
        visitor.secrets |= {told[name] for name in ("access_token", "refresh_token") if told.get(name)}


async def visit(visitor: Visitor, started: Platform, *, password: str, database_url: str) -> None:
    token = await log_in_in_every_way(visitor, password)
    await send_malformed_bodies(visitor)
    await show_bad_credentials(visitor, token)
    await use_everything(visitor, token)
    await refresh(visitor, password)
    assert max(visitor.statuses) < 500, "nothing of this is our fault"
    async with outage(database_url):
        await visitor.log_in(password)
        await use_everything(visitor, token)
    assert max(visitor.statuses) >= 500


@pytest.mark.parametrize("shape", SHAPES)
async def test_no_secret_is_in_a_log_whatever_goes_wrong(shape: str, database_url: str, tmp_path: Path) -> None:
    """The password of the database is one of them."""
    data_dir = tmp_path / "data"
    environment = {"SYNAPSCALE_DATABASE_URL": database_url, "SYNAPSCALE_LOG_LEVEL": "debug"}
    running = platform(*SHAPES[shape], data_dir=data_dir, environment=environment)
    started = await asyncio.to_thread(running.__enter__)
    try:
        visitor = Visitor(started.url)
        password = (data_dir / "admin_password").read_text()
        async with visitor.client:
            await visit(visitor, started, password=password, database_url=database_url)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    assert started.log is not None
    log = started.log.read_text()
    assert "no connection to the database" in log or "broke a connection off" in log, "the outage was to be seen"
    assert '"level": "debug"' in log, "this was to be the most talkative level"
    database_password = make_url(database_url).password
    assert database_password
    assert leaks(log, {*visitor.secrets, *secrets_of(data_dir), str(database_password)}) == []
