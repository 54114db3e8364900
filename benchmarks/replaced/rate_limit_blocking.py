"""slowapi beside the asynchronous half of limits: how long others wait while Redis is slow.

apt-get install redis-server
python -m venv /tmp/limits && /tmp/limits/bin/pip install slowapi 'limits[async-redis]' redis coredis fastapi httpx2
/tmp/limits/bin/python rate_limit_blocking.py
"""

import asyncio
import subprocess
import time
from importlib.metadata import version

import httpx2
from fastapi import FastAPI, Request
from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from slowapi import Limiter
from slowapi.util import get_remote_address

REDIS, PROXY = 9412, 9413
DELAY = 0.05
"""Seconds by which the proxy in front of Redis holds every answer back."""
REQUESTS = 20


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes bytes on to Redis, and its answers back after a while."""
    upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", REDIS)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: float) -> None:
        while piece := await source.read(65536):
            await asyncio.sleep(delay)
            sink.write(piece)

    await asyncio.gather(pump(reader, upstream_writer, 0), pump(upstream_reader, writer, DELAY))


def serve_slow_redis() -> None:
    async def serve() -> None:
        async with await asyncio.start_server(slow, "127.0.0.1", PROXY) as server:
            await server.serve_forever()

    asyncio.run(serve())


def with_slowapi() -> FastAPI:
    app = FastAPI()
    limiter = Limiter(key_func=get_remote_address, storage_uri=f"redis://127.0.0.1:{PROXY}")
    app.state.limiter = limiter

    @app.get("/")
    @limiter.limit("1000000/minute")
    async def limited(request: Request) -> str:
        return "ok"

    return app


def with_limits() -> FastAPI:
    app = FastAPI()
    limiter = FixedWindowRateLimiter(RedisStorage(f"async+redis://127.0.0.1:{PROXY}", implementation="redispy"))
    limit = parse("1000000/minute")

    @app.get("/")
    async def limited(request: Request) -> str:
        assert await limiter.hit(limit, "somebody")
        return "ok"

    return app


async def measure(app: FastAPI) -> tuple[float, float]:
    """Milliseconds: the longest time for which the event loop did nothing else, and all requests together."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before - 0.001)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app", timeout=60) as client:
        await client.get("/")  # connects
        watching = asyncio.create_task(watch())
        started = time.perf_counter()
        answers = await asyncio.gather(*(client.get("/") for _ in range(REQUESTS)))
        took = time.perf_counter() - started
        await asyncio.sleep(0.01)  # lets the watcher say what it has seen
        watching.cancel()
    assert all(answer.status_code == 200 for answer in answers), answers[0].text
    return longest * 1000, took * 1000


if __name__ == "__main__":
    import multiprocessing

    redis = subprocess.Popen(["redis-server", "--port", str(REDIS), "--save", "", "--loglevel", "warning"])
    proxy = multiprocessing.Process(target=serve_slow_redis)
    proxy.start()
    try:
        time.sleep(1)
        for name, make in (("slowapi", with_slowapi), ("limits", with_limits)):
            stall, took = asyncio.run(measure(make()))
            print(
                f"{name} {version(name)}: event loop stalled for {stall:.0f} ms, {REQUESTS} requests in {took:.0f} ms"
            )
    finally:
        proxy.terminate()
        redis.terminate()
