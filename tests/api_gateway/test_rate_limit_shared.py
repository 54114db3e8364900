"""Limits that several gateways keep together, and what they do when Redis leaves them."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from api_gateway.rate_limit import Decision, Limit
from api_gateway.rate_limit_redis import ONE_TURN, TIMEOUT, RedisRateLimiter
from tests.redis_server import RedisServer

LIMIT = [Limit("principal", "principal:org_1/usr_1", 20)]
"""One request comes back each 3 s: longer than a burst of the tests takes."""


@asynccontextmanager
async def limiters(url: str, *, count: int = 3) -> AsyncIterator[list[RedisRateLimiter]]:
    async with AsyncExitStack() as stack:
        opened = [RedisRateLimiter(url) for _ in range(count)]
        for limiter in opened:
            await stack.enter_async_context(limiter.running())
        yield opened


async def all_at_once(opened: Sequence[RedisRateLimiter], *, each: int) -> list[Decision]:
    return await asyncio.gather(*(limiter.decide(LIMIT) for limiter in opened for _ in range(each)))


async def until_shared_again(limiter: RedisRateLimiter) -> None:
    async with asyncio.timeout(10):
        while limiter.problem is not None:  # noqa: ASYNC110 # as /health would look
            await asyncio.sleep(0.02)


async def test_three_gateways_admit_exactly_the_quota(redis: RedisServer) -> None:
    async with limiters(redis.url) as opened:
        decisions = await all_at_once(opened, each=70)
    assert len(decisions) == 210
    assert sum(decision.admitted for decision in decisions) == 20
    admitted = sorted(decision.standings[0].remaining for decision in decisions if decision.admitted)
    assert admitted == list(range(20))


PROCESS = """
import asyncio, json, sys
from api_gateway.rate_limit import Limit
from api_gateway.rate_limit_redis import RedisRateLimiter

async def main():
    limiter = RedisRateLimiter(sys.argv[1])
    async with limiter.running():
        print("ready", flush=True)
        sys.stdin.readline()
        limit = [Limit("principal", "principal:org_1/usr_1", 20)]
        found = await asyncio.gather(*(limiter.decide(limit) for _ in range(100)))
        print(json.dumps([sum(one.admitted for one in found), limiter.times_lost]), flush=True)

asyncio.run(main())
"""


def test_three_processes_admit_exactly_the_quota(redis: RedisServer) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, redis.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        for _ in range(3)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [json.loads(process.communicate(timeout=20)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [lost for _, lost in found] == [0, 0, 0]
    assert sum(admitted for admitted, _ in found) == 20


async def test_a_killed_redis_leaves_each_gateway_with_its_own_count(redis: RedisServer) -> None:
    async with limiters(redis.url) as opened:
        first = await all_at_once(opened, each=2)
        redis.kill()
        rest = await all_at_once(opened, each=100)
        assert all(limiter.problem is not None for limiter in opened)
    admitted = [decision.admitted for decision in rest]
    assert all(decision.admitted for decision in first)
    for number, limiter in enumerate(opened):
        assert limiter.times_lost == 1
        # each has seen its own two requests at least, and goes on from there
        assert 14 <= sum(admitted[number * 100 : (number + 1) * 100]) <= 18


async def test_what_was_used_up_before_redis_died_stays_used_up(redis: RedisServer) -> None:
    async with limiters(redis.url) as opened:
        await all_at_once(opened, each=70)
        redis.kill()
        rest = await all_at_once(opened, each=10)
    assert sum(decision.admitted for decision in rest) == 0


async def test_killing_redis_in_the_middle_never_means_no_limit(redis: RedisServer) -> None:
    async with limiters(redis.url) as opened:
        running = asyncio.create_task(all_at_once(opened, each=2000))
        await asyncio.sleep(0.02)  # somewhere in the middle, wherever that is
        redis.kill()
        decisions = await running
    assert len(decisions) == 6000
    assert 20 <= sum(decision.admitted for decision in decisions) <= 3 * 20


async def test_only_the_first_requests_wait_for_a_redis_that_hangs(redis: RedisServer) -> None:
    async with limiters(redis.url, count=1) as (limiter,):
        await limiter.decide(LIMIT)
        assert redis.process is not None
        redis.process.send_signal(19)  # SIGSTOP: it takes connections, and says nothing
        try:
            started = time.monotonic()
            await asyncio.gather(*(limiter.decide(LIMIT) for _ in range(50)))
            first = time.monotonic() - started
            started = time.monotonic()
            for _ in range(50):
                await limiter.decide(LIMIT)
            then = time.monotonic() - started
        finally:
            redis.process.send_signal(18)  # SIGCONT
        assert TIMEOUT <= first < 2 * (TIMEOUT + ONE_TURN)
        assert then < 0.1
        await until_shared_again(limiter)


async def test_redis_is_used_again_when_it_is_back_and_has_forgotten_the_script(redis: RedisServer) -> None:
    async with limiters(redis.url) as opened:
        redis.kill()
        await all_at_once(opened, each=1)
        redis.start()
        for limiter in opened:
            await until_shared_again(limiter)
        decisions = await all_at_once(opened, each=70)
    assert sum(decision.admitted for decision in decisions) == 20


async def test_a_script_that_was_flushed_is_loaded_again_without_a_fallback(redis: RedisServer) -> None:
    async with limiters(redis.url) as opened:
        await opened[0]._redis.script_flush()  # only an operator does this; the limiter offers no such call
        decisions = await all_at_once(opened, each=70)
    assert sum(decision.admitted for decision in decisions) == 20
    assert [limiter.times_lost for limiter in opened] == [0, 0, 0]


async def test_a_redis_that_answers_with_errors_is_away(redis: RedisServer) -> None:
    async with limiters(redis.url, count=1) as (limiter,):
        await limiter._redis.set("synapscale:limit:" + LIMIT[0].key, "no number")  # somebody else's mistake
        decisions = await all_at_once([limiter], each=30)
        assert sum(decision.admitted for decision in decisions) == 20
        assert limiter.problem is not None


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://192.0.2.1:6379/0"])
async def test_a_gateway_starts_without_its_redis(url: str) -> None:
    started = time.monotonic()
    async with limiters(url, count=1) as (limiter,):
        assert limiter.problem is not None
        decisions = await all_at_once([limiter], each=30)
    assert sum(decision.admitted for decision in decisions) == 20
    assert time.monotonic() - started < 2


async def test_a_client_that_leaves_does_not_disturb_the_others(redis: RedisServer) -> None:
    async with limiters(redis.url, count=1) as (limiter,):
        leaving = asyncio.create_task(limiter.decide(LIMIT))
        staying = asyncio.create_task(limiter.decide(LIMIT))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await staying).admitted
        assert limiter.problem is None


async def test_who_waits_for_a_decision_when_the_gateway_ends_gets_one(redis: RedisServer) -> None:
    async with limiters(redis.url, count=1) as (limiter,):
        waiting = [asyncio.create_task(limiter.decide(LIMIT)) for _ in range(300)]
        await asyncio.sleep(0)
    decisions = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert sum(decision.admitted for decision in decisions) <= 2 * 20
