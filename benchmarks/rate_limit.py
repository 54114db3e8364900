"""What a rate-limit decision costs: ours beside `limits.aio`, in memory and in Redis.

One decision here is what a request needs: two limits (user and key), charged together, with remaining and reset of
each for the headers.

apt-get install redis-server
.venv/bin/uv pip install --target /tmp/limits-aio --no-deps limits==5.8.0
.venv/bin/uv pip install --target /tmp/limits-aio deprecated packaging
PYTHONPATH=.:/tmp/limits-aio .venv/bin/python benchmarks/rate_limit.py
"""

import asyncio
import contextlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

from limits import parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter

from api_gateway.rate_limit import Limit, MemoryRateLimiter
from api_gateway.rate_limit_redis import RedisRateLimiter
from tests.redis_server import running_redis

ROUNDS, SEQUENTIAL, TOGETHER = 7, 1000, 2000
QUOTA = 1_000_000
OURS = [Limit("principal", "principal:org_1/usr_1", QUOTA), Limit("key", "key:key_1", QUOTA)]
THEIRS = parse(f"{QUOTA}/minute")

Decide = Callable[[], Awaitable[object]]


class CountingProxy:
    """Stands before Redis and counts how often a client waited for an answer."""

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self.round_trips = 0

    async def start(self) -> int:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._redis_port)
        asked = False

        async def there() -> None:
            nonlocal asked
            while piece := await reader.read(1 << 20):
                asked = True
                there_writer.write(piece)

        async def back() -> None:
            nonlocal asked
            while piece := await there_reader.read(1 << 20):
                self.round_trips += asked
                asked = False
                writer.write(piece)

        with contextlib.suppress(asyncio.CancelledError):  # the end of the program
            await asyncio.gather(there(), back())


def of_limits(limiter: RateLimiter) -> Decide:
    """Two limits, each hit and then looked up: limits has no call for both, nor for one with its statistics."""

    async def decide() -> None:
        for who in ("usr_1", "key_1"):
            await limiter.hit(THEIRS, who)
            await limiter.get_window_stats(THEIRS, who)

    return decide


async def microseconds(decide: Decide, *, times: int, together: bool) -> tuple[float, float]:
    """Median and fastest of the rounds, per decision."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        if together:
            await asyncio.gather(*(decide() for _ in range(times)))
        else:
            for _ in range(times):
                await decide()
        found.append((time.perf_counter() - started) / times * 1e6)
    return statistics.median(found), min(found)


async def trips(decide: Decide, proxy: CountingProxy) -> float:
    await decide()
    before = proxy.round_trips
    for _ in range(100):
        await decide()
    return (proxy.round_trips - before) / 100


async def main() -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("limits", "redis", "hiredis"))
    print(f"CPython {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {packages}")
    memory = MemoryRateLimiter()
    in_memory = {
        "ours, memory": lambda: memory.decide(OURS),
        "limits.aio moving window, memory": of_limits(MovingWindowRateLimiter(MemoryStorage())),
        "limits.aio sliding window counter, memory": of_limits(SlidingWindowCounterRateLimiter(MemoryStorage())),
    }
    for name, decide in in_memory.items():
        median, fastest = await microseconds(decide, times=SEQUENTIAL, together=False)
        print(f"{name:45} {median:8.1f} µs (fastest {fastest:.1f})")
    with tempfile.TemporaryDirectory() as directory, running_redis(Path(directory)) as redis:
        await compare_in_redis(redis.port)


def in_redis(port: int) -> tuple[RedisRateLimiter, dict[str, Decide]]:
    storage = RedisStorage(f"async+redis://127.0.0.1:{port}/1", implementation="redispy", max_connections=50)
    ours = RedisRateLimiter(f"redis://127.0.0.1:{port}/0")
    return ours, {
        "ours, Redis": lambda: ours.decide(OURS),
        "limits.aio moving window, Redis": of_limits(MovingWindowRateLimiter(storage)),
        "limits.aio sliding window counter, Redis": of_limits(SlidingWindowCounterRateLimiter(storage)),
    }


async def compare_in_redis(port: int) -> None:
    proxy = CountingProxy(port)
    proxied, through_proxy = in_redis(await proxy.start())
    counted = {name: await trips(decide, proxy) for name, decide in through_proxy.items()}
    assert proxied.times_lost == 0
    ours, decides = in_redis(port)
    async with ours.running():
        for name, decide in decides.items():
            alone, fastest = await microseconds(decide, times=SEQUENTIAL, together=False)
            line = (
                f"{name:45} {counted[name]:.0f} round trips, {alone:6.0f} µs one after another (fastest {fastest:.0f})"
            )
            if name.startswith("ours"):
                together, _ = await microseconds(decide, times=TOGETHER, together=True)
                line += f", {together:5.0f} µs each when {TOGETHER} come at once"
            print(line)
        assert ours.times_lost == 0


if __name__ == "__main__":
    asyncio.run(main())
