"""Rate limits as clients meet them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from shared.upstreams import InProcessUpstream
from tests.api_gateway.conftest import gateway_over, silent_service
from tests.api_gateway.puppet import Puppet
from tests.api_gateway.test_health import well
from tests.redis_server import RedisServer
from tests.tokens import auth_stub, bearer


def services(puppet: Puppet) -> list[InProcessUpstream]:
    return [auth_stub(), InProcessUpstream("llm", app=puppet.app), silent_service("chat")]


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


async def test_a_user_gets_the_quota_and_then_429_with_the_time_to_wait(puppet: Puppet) -> None:
    async with gateway_over(*services(puppet), rate_limit_per_minute=3) as client:
        answers = [await client.get("/api/llm/mirror") for _ in range(4)]
        elsewhere = await client.get("/v1/models")
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"principal";q=3;w=60'}
    refused = answers[-1]
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    assert elsewhere.status_code == 429
    assert elsewhere.json()["error"]["type"] == "rate_limit_error"
    assert elsewhere.headers["retry-after"]


async def test_other_users_and_other_organizations_have_a_count_of_their_own(puppet: Puppet) -> None:
    async with gateway_over(*services(puppet), rate_limit_per_minute=1) as client:
        callers = [bearer(), bearer(user_id="usr_2"), bearer(organization_id="org_2"), bearer(sid="ses_2")]
        found = [(await client.get("/api/llm/mirror", headers=headers)).status_code for headers in callers]
    assert found == [200, 200, 200, 429]  # the last is the first one again, logged in elsewhere


async def test_a_key_is_held_to_its_own_limit_and_charged_for_nothing_that_is_refused(puppet: Puppet) -> None:
    policy = {"requests_per_minute": 2}
    async with gateway_over(*services(puppet), rate_limit_per_minute=5) as client:
        key = bearer(sid="key_1", policy=policy)
        answers = [await client.get("/api/llm/mirror", headers=key) for _ in range(4)]
        other = await client.get("/api/llm/mirror", headers=bearer(sid="key_2", policy=policy))
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert answers[0].headers["ratelimit-policy"] == '"principal";q=5;w=60, "key";q=2;w=60'
    assert answers[3].json()["detail"] == "The limit is 2 per minute (key)."
    assert other.status_code == 200
    assert '"principal";r=2' in other.headers["ratelimit"]


async def test_guesses_are_counted_by_address_whatever_they_guess(puppet: Puppet) -> None:
    async with gateway_over(*services(puppet), rate_limit_anonymous_per_minute=3) as client:
        guesses = [
            (await client.get("/api/llm/mirror", headers={"authorization": f"Bearer {number}"})).status_code
            for number in range(5)
        ]
        known = await client.get("/api/llm/mirror")
        nowhere = await client.get("/nowhere")
    assert guesses == [401, 401, 401, 429, 429]
    assert known.status_code == 200
    assert nowhere.status_code == 429


async def test_a_refusal_that_was_counted_says_what_is_left(puppet: Puppet) -> None:
    async with gateway_over(*services(puppet), max_body_bytes=10) as client:
        no_scope = await client.get("/api/llm/mirror", headers=bearer(scope="chat:read"))
        no_credential = await client.get("/api/llm/mirror", headers={"authorization": ""})
        too_large = await client.post("/api/llm/mirror", content=pieces(b"x" * 6, b"y" * 6))
    for answer, status, limit in (
        (no_scope, 403, "principal"),
        (no_credential, 401, "address"),
        (too_large, 413, "principal"),
    ):
        assert answer.status_code == status
        assert answer.headers["ratelimit-policy"].startswith(f'"{limit}";')
        assert answer.headers["ratelimit"].startswith(f'"{limit}";')


@pytest.mark.parametrize("path", ["/api/auth/token", "/api/auth/token/"])
async def test_logins_are_counted_by_address_and_apart(puppet: Puppet, path: str) -> None:
    async with gateway_over(*services(puppet), rate_limit_login_per_minute=2) as client:
        found = [(await client.post(path, json={})).status_code for _ in range(3)]
        keys = await client.get("/.well-known/jwks.json")
    assert found[2] == 429
    assert 429 not in found[:2]
    assert keys.status_code == 200
    assert keys.headers["ratelimit-policy"] == '"address";q=300;w=60'


async def test_whoever_watches_over_the_gateway_is_not_counted(puppet: Puppet) -> None:
    async with gateway_over(*services(puppet), rate_limit_anonymous_per_minute=1) as client:
        found = [(await client.get("/health/live")) for _ in range(3)]
    assert [answer.status_code for answer in found] == [200, 200, 200]
    assert "ratelimit" not in found[0].headers


async def test_a_path_that_only_begins_like_theirs_is_counted(puppet: Puppet) -> None:
    async with gateway_over(*services(puppet), rate_limit_anonymous_per_minute=1) as client:
        answers = [await client.get(path) for path in ("/healthy", "/health/x", "/metricsx")]
    assert [answer.status_code for answer in answers] == [404, 429, 429]


async def test_zero_is_no_limit(puppet: Puppet) -> None:
    off: dict[str, Any] = dict.fromkeys(
        ("rate_limit_per_minute", "rate_limit_anonymous_per_minute", "rate_limit_login_per_minute"), 0
    )
    async with gateway_over(*services(puppet), **off) as client:
        answers = [await client.get(path) for path in ("/api/llm/mirror", "/", "/.well-known/jwks.json")]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert not any("ratelimit" in answer.headers for answer in answers)


async def test_three_gateways_on_one_redis_admit_exactly_the_quota(puppet: Puppet, redis: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(
                gateway_over(*services(puppet), redis_url=redis.url, rate_limit_per_minute=10)
            )
            for _ in range(3)
        ]
        answers = await asyncio.gather(*(client.get("/api/llm/mirror") for client in opened for _ in range(34)))
    assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 92}


async def test_a_redis_that_is_away_shows_in_health_and_metrics_until_it_is_back(redis: RedisServer) -> None:
    async def state(client: httpx2.AsyncClient) -> tuple[str | None, bool]:
        problem = (await client.get("/health")).json()["problem"]
        return problem, "synapscale_gateway_rate_limit_fallback 1.0" in (await client.get("/metrics")).text

    upstreams = [well("auth"), well("llm"), well("chat")]
    async with gateway_over(*upstreams, redis_url=redis.url, rate_limit_anonymous_per_minute=5) as client:
        before = await state(client)
        redis.kill()
        found = [(await client.get("/")).status_code for _ in range(10)]
        away = await state(client)
        status = (await client.get("/health")).json()["status"]
        redis.start()
        async with asyncio.timeout(10):
            while (back := await state(client)) != before:  # noqa: ASYNC110 # an operator would look, too
                await asyncio.sleep(0.05)
    assert before == back == (None, False)
    assert found == [200] * 5 + [429] * 5
    assert away == ("Redis is away: each gateway counts by itself", True)
    assert status == "degraded"
