"""The arithmetic of limits: the same in this process and in Redis, to the microsecond."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from api_gateway.rate_limit import Decision, Limit, MemoryRateLimiter
from api_gateway.rate_limit_redis import SCRIPT, arguments_of, decision_of
from tests.redis_server import running_redis

MINUTE = 60_000_000


class Clock:
    def __init__(self, now: int = 1_800_000_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> MemoryRateLimiter:
    return MemoryRateLimiter(clock=clock)


async def test_a_burst_of_the_quota_passes_and_no_more(limiter: MemoryRateLimiter) -> None:
    limit = Limit("principal", "a", 5)
    decisions = [await limiter.decide([limit]) for _ in range(7)]
    assert [decision.admitted for decision in decisions] == [True] * 5 + [False] * 2
    assert [decision.standings[0].remaining for decision in decisions] == [4, 3, 2, 1, 0, 0, 0]
    assert decisions[-1].retry_after == 12.0


async def test_one_request_comes_back_after_each_interval(limiter: MemoryRateLimiter, clock: Clock) -> None:
    limit = Limit("principal", "a", 5)
    for _ in range(5):
        await limiter.decide([limit])
    clock.now += 12_000_000 - 1
    assert not (await limiter.decide([limit])).admitted
    clock.now += 1
    assert (await limiter.decide([limit])).admitted
    assert not (await limiter.decide([limit])).admitted


async def test_what_one_limit_refuses_is_charged_to_none(limiter: MemoryRateLimiter) -> None:
    wide, narrow = Limit("principal", "wide", 100), Limit("key", "narrow", 1)
    await limiter.decide([wide, narrow])
    refused = await limiter.decide([wide, narrow])
    assert not refused.admitted
    assert [limit.name for limit in refused.refused_by] == ["key"]
    assert (await limiter.decide([wide])).standings[0].remaining == 98


async def test_keys_that_are_whole_again_are_forgotten(limiter: MemoryRateLimiter, clock: Clock) -> None:
    for number in range(1000):
        await limiter.decide([Limit("address", f"address:{number}", 60)])
    assert len(limiter) == 1000
    clock.now += MINUTE
    for number in range(1000):
        await limiter.decide([Limit("address", f"other:{number}", 60)])
    assert len(limiter) <= 1001


async def test_the_number_of_keys_is_bounded_and_the_longest_unused_goes_first(clock: Clock) -> None:
    limiter = MemoryRateLimiter(capacity=10, clock=clock)
    kept = Limit("address", "kept", 1)
    await limiter.decide([kept])
    for number in range(100):
        await limiter.decide([Limit("address", f"address:{number}", 1)])
        await limiter.decide([Limit("address", "busy", 1000)])
    assert len(limiter) <= 10
    assert (await limiter.decide([kept])).admitted
    assert (await limiter.decide([Limit("address", "busy", 1000)])).standings[0].remaining == 899


def test_headers_are_structured_fields_that_name_every_limit() -> None:
    limits = (Limit("principal", "p", 600), Limit("key", "k", 10))
    clock = Clock()
    decision = MemoryRateLimiter(clock=clock).decide_now(limits)
    assert dict(decision.headers()) == {
        b"ratelimit-policy": b'"principal";q=600;w=60, "key";q=10;w=60',
        b"ratelimit": b'"principal";r=599;t=1, "key";r=9;t=6',
    }


steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3), st.integers(0, 2_000_000), st.integers(0, 2 * MINUTE)),  # time that passes, in µs
        st.integers(1, 5),  # cost
        st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),  # which limits are concerned
    ),
    min_size=1,
    max_size=25,
)
quotas = st.tuples(*[st.one_of(st.integers(5, 20), st.integers(5, 1_000_000))] * 3)


@pytest.fixture(scope="module")
async def scripts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Redis]:
    directory: Path = tmp_path_factory.mktemp("redis")
    with running_redis(directory) as server:
        async with Redis.from_url(server.url) as client:
            yield client


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, quotas=quotas)
@example(steps=[(0, 5, [0]), (11_999_999, 1, [0]), (1, 1, [0])], quotas=(5, 5, 5))  # a microsecond too early
async def test_redis_and_memory_decide_the_same(
    scripts: Redis, steps: list[tuple[int, int, list[int]]], quotas: tuple[int, int, int]
) -> None:
    await scripts.flushdb()
    clock = Clock()
    memory = MemoryRateLimiter(clock=clock)
    limits = [Limit("principal", f"limit:{number}", quota) for number, quota in enumerate(quotas)]
    for passes, cost, concerned in steps:
        clock.now += passes
        chosen = [limits[number] for number in concerned]
        expected: Decision = memory.decide_now(chosen, cost=cost)
        answer = await scripts.eval(SCRIPT, *arguments_of(chosen, cost=cost, now=clock.now))
        assert decision_of(chosen, answer) == expected


async def test_redis_forgets_a_key_a_minute_after_it_is_whole_again(scripts: Redis) -> None:
    await scripts.flushdb()
    limit = Limit("principal", "short", 60)
    await scripts.eval(SCRIPT, *arguments_of([limit], cost=5))
    (key,) = await scripts.keys("*")
    assert 64_000 < await scripts.pttl(key) <= 65_000
