"""Over real sockets: what auth-service revokes ends at the gateway and in the services behind it; and what they say
when auth-service has gone."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

import api_gateway.main
import api_gateway.settings
import llm_service.main
import llm_service.settings
import shared.auth.revocations as revocations_module
from auth_service.revocations.service import revoke
from auth_service.users.models import User
from shared.auth.revocations import POLL_EVERY, POLL_TIMEOUT
from shared.database import Sessions
from tests.auth_service.factories import make_user
from tests.auth_service.serving import ServeAuth, add_login, token_for
from tests.serving import served
from tests.tokens import SECRET

IN_FORCE_WITHIN = 5.0
"""Seconds: what is promised."""


class Platform:
    """Clients of a gateway and of the llm-service behind it, each on a socket of its own."""

    def __init__(self, gateway: httpx2.AsyncClient, llm: httpx2.AsyncClient) -> None:
        self.gateway = gateway
        self.llm = llm

    async def statuses(self, token: str) -> tuple[int, int]:
        headers = {"authorization": f"Bearer {token}"}
        answers = [await each.get("/api/llm/models", headers=headers) for each in (self.gateway, self.llm)]
        return answers[0].status_code, answers[1].status_code

    async def health(self) -> dict[str, object]:
        body: dict[str, object] = (await self.gateway.get("/health")).json()
        return body


@asynccontextmanager
async def platform(
    auth_url: str, database_url: str, directory: Path, *, secret: str = SECRET
) -> AsyncIterator[Platform]:
    config = directory / "llm.yaml"
    config.write_text(json.dumps({"providers": {"echo": {"type": "echo", "models": ["echo"]}}}))
    common = {"secret_key": secret, "auth_url": auth_url, "chat_url": auth_url}
    llm_settings = llm_service.settings.Settings.model_validate(
        {**common, "llm_config": config, "data_dir": directory, "database_url": database_url}
    )
    async with AsyncExitStack() as stack:
        llm_url = await stack.enter_async_context(served(llm_service.main.create_app(llm_settings, variables={})))
        settings = api_gateway.settings.Settings.model_validate({**common, "llm_url": llm_url})
        url = await stack.enter_async_context(served(api_gateway.main.create_app(settings)))
        clients = [await stack.enter_async_context(httpx2.AsyncClient(base_url=each)) for each in (url, llm_url)]
        yield Platform(*clients)


async def until(condition: Callable[[], Awaitable[bool]], *, within: float = 10) -> None:
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 # another process would set no event either
            await asyncio.sleep(0.02)


@pytest.fixture
async def user(auth_url: str, sessions: Sessions) -> User:
    return await make_user(sessions)


def test_a_poll_and_its_patience_fit_into_the_promise() -> None:
    assert POLL_EVERY + POLL_TIMEOUT < IN_FORCE_WITHIN


@pytest.mark.parametrize("what", ["session", "user", "membership"])
async def test_a_revocation_is_in_force_everywhere_within_five_seconds(
    auth_url: str, database_url: str, sessions: Sessions, user: User, tmp_path: Path, what: str
) -> None:
    login = await add_login(sessions, user)
    subject = {"session": login, "user": user.id, "membership": f"{user.id}/{user.organization_id}"}[what]
    token = await token_for(sessions, user, source=login)
    stranger = await make_user(sessions, "bia")
    strangers_token = await token_for(sessions, stranger, source=await add_login(sessions, stranger))

    async with platform(auth_url, database_url, tmp_path) as running:

        async def is_refused() -> bool:
            return await running.statuses(token) == (401, 401)

        assert await running.statuses(token) == (200, 200)
        async with sessions.begin() as session:
            await revoke(session, subject)
        revoked_at = time.monotonic()
        await until(is_refused)
        assert time.monotonic() - revoked_at < IN_FORCE_WITHIN
        assert await running.statuses(strangers_token) == (200, 200)


async def test_a_process_that_starts_after_a_revocation_knows_it(
    auth_url: str, database_url: str, sessions: Sessions, user: User, tmp_path: Path
) -> None:
    token = await token_for(sessions, user, source="ses_1")
    async with sessions.begin() as session:
        await revoke(session, "ses_1")
    async with platform(auth_url, database_url, tmp_path) as running:
        assert await running.statuses(token) == (401, 401)


async def test_without_auth_service_tokens_hold_and_health_tells(
    serve_auth: ServeAuth, database_url: str, sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations_module, "STALE_AFTER", 3.0)  # else the test would wait for 15 s
    async with AsyncExitStack() as auth:
        auth_url = await auth.enter_async_context(serve_auth())
        user = await make_user(sessions)
        ended, token = [await token_for(sessions, user, source=source) for source in ("ses_1", "ses_2")]
        async with sessions.begin() as session:
            await revoke(session, "ses_1")
        async with platform(auth_url, database_url, tmp_path) as running:
            assert await running.statuses(token) == (200, 200)
            assert (await running.health())["status"] == "ok"
            await auth.aclose()

            async def gateway_tells() -> bool:
                return "auth-service does not tell" in str((await running.health())["problem"])

            async def llm_tells() -> bool:
                answer = await running.llm.get("/health")
                assert answer.status_code == 200
                return answer.json()["status"] == "degraded" and "auth-service" in answer.json()["problem"]

            await until(gateway_tells)
            await until(llm_tells)
            health = await running.health()
            assert health["status"] == "degraded"
            assert health["services"]["llm"]["status"] == "degraded"  # type: ignore[index]
            assert await running.statuses(token) == (200, 200)
            assert await running.statuses(ended) == (401, 401)


async def test_a_service_with_another_secret_hears_nothing_and_says_so(
    auth_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations_module, "STALE_AFTER", 0.1)
    async with platform(auth_url, database_url, tmp_path, secret="another-secret-of-the-tests-0123456789") as running:

        async def gateway_tells() -> bool:
            return (await running.health())["problem"] is not None

        await until(gateway_tells)
