"""httpx beside httpx2: requests per second of one process, 32 at a time, to a server on loopback.

python -m venv /tmp/http && /tmp/http/bin/pip install httpx httpx2 uvicorn uvloop httptools
/tmp/http/bin/python http_client.py
"""

import asyncio
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

import httpx
import httpx2
import uvloop

PORT = 9411
CONCURRENCY = 32
SECONDS = 2.0
ROUNDS = 5
SERVER = f"""
import uvicorn
async def app(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}})
    await send({{"type": "http.response.body", "body": b"ok"}})
uvicorn.run(app, port={PORT}, log_level="critical", lifespan="off", access_log=False)
"""


async def measure(client) -> tuple[float, float]:
    """Requests per second, and microseconds of CPU for each."""
    end = time.perf_counter() + SECONDS
    done = 0

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await client.get(f"http://127.0.0.1:{PORT}/")
            done += 1

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask() for _ in range(CONCURRENCY)))
    return done / (time.perf_counter() - started), (time.process_time() - cpu) / done * 1e6


async def main() -> None:
    rates: dict[str, list[float]] = {"httpx": [], "httpx2": []}
    costs: dict[str, list[float]] = {"httpx": [], "httpx2": []}
    for _ in range(ROUNDS):  # in turn, so that a noisy machine is noisy for both
        for name, module in (("httpx", httpx), ("httpx2", httpx2)):
            async with module.AsyncClient(trust_env=False) as client:
                rate, cost = await measure(client)
            rates[name].append(rate)
            costs[name].append(cost)
    for name in rates:
        median, cost = statistics.median(rates[name]), statistics.median(costs[name])
        print(f"{name} {version(name)}: {median:.0f} requests/s, {cost:.0f} µs of CPU each")
    print(f"httpx2 / httpx: {statistics.median(rates['httpx2']) / statistics.median(rates['httpx']):.2f}")


if __name__ == "__main__":
    with subprocess.Popen([sys.executable, "-c", SERVER]) as server:
        try:
            time.sleep(1)
            uvloop.run(main())
        finally:
            server.terminate()
