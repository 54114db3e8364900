"""What holds where a service is several real processes: one family of refresh tokens, one count, one revocation."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

from auth_service.revocations.models import Revocation
from auth_service.sessions.models import LoginSession, RefreshToken
from shared.auth.revocations import POLL_EVERY, POLL_TIMEOUT, STALE_AFTER
from shared.database import Sessions
from tests.auth_service.conftest import ADMIN_PASSWORD
from tests.auth_service.logins import TOKEN, claims_of
from tests.e2e.replicas import auth_replicas, gateways, in_turn, services_that_are_well, url_of
from tests.redis_server import RedisServer, running_redis
from tests.tokens import bearer

Clients = Sequence[httpx2.AsyncClient]
QUOTA = 10
"""One request comes back each 6 s: longer than a burst takes."""
MIRROR = "/api/llm/mirror"
IN_FORCE_WITHIN = 5.0
ADMIN = {"username": "admin", "password": ADMIN_PASSWORD}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
async def three(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Clients]:
    """Three gateway processes on one Redis."""
    settings = {"redis_url": redis.url, "rate_limit_per_minute": str(QUOTA)}
    async with services_that_are_well() as url, gateways(3, tmp_path, url=url, **settings) as opened:
        yield opened


async def seconds_until(holds: Callable[[], Awaitable[bool]], *, within: float) -> float:
    started = time.monotonic()
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 # measured from outside, as an operator would
            await asyncio.sleep(0.01)
    return time.monotonic() - started


# Refresh tokens


async def test_fifty_renewals_at_once_through_a_gateway_and_two_replicas_make_one_successor(
    database_url: str, sessions: Sessions, tmp_path: Path
) -> None:
    async with (
        auth_replicas(2, tmp_path, database_url=database_url) as replicas,
        in_turn(*map(url_of, replicas), counting=TOKEN) as (url, balancer),
        gateways(1, tmp_path, url=url, rate_limit_login_per_minute="0") as (gateway,),
    ):
        first = (await gateway.post(TOKEN, json=ADMIN)).json()
        bearer_of_first = {"authorization": f"Bearer {first['access_token']}"}
        await asyncio.gather(*(gateway.get("/api/auth/me", headers=bearer_of_first) for _ in range(50)))
        token = first["refresh_token"]  # from here on no renewal is ahead because it has a connection before the others
        for race in range(1, 4):
            form = {"grant_type": "refresh_token", "refresh_token": token}
            answers = await asyncio.gather(*(gateway.post(TOKEN, data=form) for _ in range(50)))
            assert Counter(answer.status_code for answer in answers) == {200: 50}
            assert {claims_of(answer.json())["sid"] for answer in answers} == {claims_of(first)["sid"]}
            (token,) = {answer.json()["refresh_token"] for answer in answers}
            async with sessions() as session:
                assert await session.scalar(select(func.count()).select_from(LoginSession)) == 1
                assert await session.scalar(select(func.count()).select_from(RefreshToken)) == 1 + race
                assert list(await session.scalars(select(Revocation.subject))) == []
        assert min(balancer.requests) >= 30, "both replicas took part"


# Limits


async def burst(opened: Clients, *, user: str, requests: int) -> Counter[int]:
    """How often each status was answered to requests that were sent at once, to each gateway in turn."""
    headers = bearer(user_id=user)
    answers = await asyncio.gather(
        *(opened[number % len(opened)].get(MIRROR, headers=headers) for number in range(requests))
    )
    return Counter(answer.status_code for answer in answers)


async def standing(gateway: httpx2.AsyncClient) -> tuple[str | None, str]:
    """What health and metrics tell of Redis."""
    problem = (await gateway.get("/health")).json()["problem"]
    lines = (await gateway.get("/metrics")).text.splitlines()
    return problem, next(line for line in lines if line.startswith("synapscale_gateway_rate_limit_fallback "))


SHARED = (None, "synapscale_gateway_rate_limit_fallback 0.0")
ALONE = ("Redis is away: each gateway counts by itself", "synapscale_gateway_rate_limit_fallback 1.0")


async def test_three_gateway_processes_on_one_redis_admit_exactly_the_quota_of_ten_times_as_many(
    three: Clients,
) -> None:
    assert await burst(three, user="usr_1", requests=10 * QUOTA) == {200: QUOTA, 429: 9 * QUOTA}
    assert [await standing(gateway) for gateway in three] == [SHARED] * 3


async def test_a_redis_killed_in_the_middle_never_means_no_limit_and_is_used_again_when_it_is_back(
    three: Clients, redis: RedisServer
) -> None:
    found: Counter[int] = Counter()
    killed = asyncio.Event()
    started = time.monotonic()

    async def ask(gateway: httpx2.AsyncClient) -> None:
        """Until it has answered ten times the quota since the kill."""
        after = 0
        while after < 10 * QUOTA:
            after += killed.is_set()
            found[(await gateway.get(MIRROR, headers=bearer(user_id="usr_1"))).status_code] += 1
            if found.total() >= QUOTA // 2 and not killed.is_set():
                redis.kill()
                killed.set()

    await asyncio.gather(*(ask(gateway) for gateway in three for _ in range(2)))
    regained = 3 * (1 + int((time.monotonic() - started) * QUOTA / 60))
    assert found.keys() == {200, 429}
    assert QUOTA <= found[200] <= 3 * QUOTA + regained, "each gateway counts by itself at worst"
    assert [await standing(gateway) for gateway in three] == [ALONE] * 3

    redis.start()

    async def all_share() -> bool:
        return [await standing(gateway) for gateway in three] == [SHARED] * 3

    back = await seconds_until(all_share, within=10)
    print(f"of {found.total()} requests {found[200]} were admitted; Redis was used again {back:.2f} s after its start")
    assert await burst(three, user="usr_2", requests=10 * QUOTA) == {200: QUOTA, 429: 9 * QUOTA}


# Revocations


async def test_a_revocation_reaches_two_gateways_in_time_and_both_tell_when_there_is_no_news(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        auth_replicas(2, tmp_path, database_url=database_url) as replicas,
        in_turn(*map(url_of, replicas), counting=TOKEN) as (url, _),
        gateways(2, tmp_path, url=url) as opened,
    ):
        login = (await opened[0].post(TOKEN, json=ADMIN)).json()
        by = {"authorization": f"Bearer {login['access_token']}"}
        made = (await opened[0].post("/api/auth/api-keys", json={"name": "sdk"}, headers=by)).json()
        with_key = {"authorization": f"Bearer {made['key']}"}

        async def statuses(headers: dict[str, str]) -> set[int]:
            return {(await gateway.get("/api/auth/me", headers=headers)).status_code for gateway in opened}

        async def key_is_refused() -> bool:
            return await statuses(with_key) == {401}

        async def all_tell() -> bool:
            problems = [(await gateway.get("/health")).json()["problem"] or "" for gateway in opened]
            return all("auth-service does not tell" in problem for problem in problems)

        assert await statuses(with_key) == {200}
        assert (await opened[0].delete(f"/api/auth/api-keys/{made['id']}", headers=by)).status_code == 204
        revoked = await seconds_until(key_is_refused, within=IN_FORCE_WITHIN)
        assert await statuses(by) == {200}
        assert not await all_tell()

        for replica in replicas:
            replica.process.kill()
        stale = await seconds_until(all_tell, within=STALE_AFTER + 2 * (POLL_EVERY + POLL_TIMEOUT))
        assert stale > STALE_AFTER - POLL_EVERY - POLL_TIMEOUT
    print(f"a revoked key was refused by both after {revoked:.2f} s; no news showed in health after {stale:.2f} s")
