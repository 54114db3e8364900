"""Hours of a day in minutes: mixed load with faults and clients that leave, and the memory that the platform takes.

PYTHONPATH=. .venv/bin/python benchmarks/soak.py [--minutes 20] [--per-second 60]    # loopback only, ends by itself

The platform runs as `synapscale up` in a process of its own, with an API key as the credential; the providers are
simulators in this process. What is told at the end: requests by outcome, and the line through the resident memory of
the platform (PostgreSQL not counted) over the last three quarters of the time.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml

from launcher.ports import is_free
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.faults import Fault
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.mistral import MistralSimulator
from tests.simulators.openai import OpenAISimulator
from tests.simulators.provider import Provider

ROOT = Path(__file__).parents[1]
MODELS = {
    "openai": (OpenAISimulator, "gpt-4o-mini", "/v1"),
    "anthropic": (AnthropicSimulator, "claude-sonnet-4-5", ""),
    "gemini": (GeminiSimulator, "gemini-2.5-flash", "/v1beta"),
    "mistral": (MistralSimulator, "mistral-small-latest", "/v1"),
}
"""Simulator, model, and what the address of its API ends with."""
FAULTS = ("reset", "stall", "cut", "cut-clean", "corrupt", "html", "error-first", "error-later", "no-usage", "empty")
STATUSES = (400, 429, 500, 503)
FAULTY, LEAVING, LONG = 0.15, 0.15, 0.05
"""Shares of requests: with a fault, with a client that leaves, with a long prompt."""
WARM_UP = 0.25
Json = dict[str, Any]


def free_port() -> int:
    return next(port for port in range(21_000, 29_000) if is_free("127.0.0.1", port))


@asynccontextmanager
async def platform(sims: dict[str, Provider], directory: Path) -> AsyncIterator[tuple[str, psutil.Process]]:
    providers = {
        name: {
            "type": name,
            "base_url": sim.root_url + MODELS[name][2],
            "api_keys": [{"key": sim.api_key, "name": f"{name}-{n}"} for n in (1, 2)],
            "models": [MODELS[name][1]],
        }
        for name, sim in sims.items()
    }
    routes = {"any": [[{"model": model} for _, model, _ in MODELS.values()]]}
    timeouts = {"headers": 10, "first_content": 10, "gap": 10, "total": 20}
    config = {"providers": providers, "routes": routes, "timeouts": timeouts}
    (directory / "llm.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],  # noqa: TID251 # for the child
        "SYNAPSCALE_DATA_DIR": str(directory / "data"),
        "SYNAPSCALE_LLM_CONFIG": str(directory / "llm.yaml"),
        "SYNAPSCALE_LOG_LEVEL": "error",
        "SYNAPSCALE_RATE_LIMIT_PER_MINUTE": "1000000",
    }
    process = await asyncio.create_subprocess_exec(
        ROOT / ".venv" / "bin" / "synapscale",
        "up",
        "--port",
        str(port),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def api_key(url: str, directory: Path) -> str:
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10) as client, asyncio.timeout(180):
        while True:
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    break
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.2)
        password = (directory / "data" / "admin_password").read_text()
        login = await client.post("/api/auth/token", json={"username": "admin", "password": password})
        token = {"authorization": f"Bearer {login.json()['access_token']}"}
        asked = {"name": "soak", "scopes": ["llm:read", "llm:invoke"], "requests_per_minute": 1_000_000}
        return str((await client.post("/api/auth/api-keys", json=asked, headers=token)).json()["key"])


def a_request() -> tuple[str, Json]:
    """Path and body: any surface, any provider or the route over all, streamed or not."""
    model = random.choice(["any", *(model for _, model, _ in MODELS.values())])  # noqa: S311 # a mixture, no secret
    words = "palavra " * (5000 if random.random() < LONG else 20)  # noqa: S311 # the same
    body: Json = {"model": model, "messages": [{"role": "user", "content": words}]}
    path = random.choice(["/v1/chat/completions", "/v1/messages", "/api/llm/chat/completions"])  # noqa: S311 # the same
    if path == "/v1/messages":
        body["max_tokens"] = 1000
    return path, {**body, "stream": random.random() < 0.7}  # noqa: S311 # the same


async def one_request(client: httpx2.AsyncClient, sims: dict[str, Provider], outcomes: Counter[str]) -> None:
    path, body = a_request()
    if random.random() < FAULTY:  # noqa: S311 # the same
        sim = random.choice(list(sims.values()))  # noqa: S311 # the same
        status = random.choice(STATUSES)  # noqa: S311 # the same
        sim.faults.append(random.choice([*(Fault(name) for name in FAULTS), Fault("status", status=status)]))  # type: ignore[arg-type] # noqa: S311 # the same
    leaves = random.random() < LEAVING  # noqa: S311 # the same
    try:
        async with client.stream("POST", path, json=body) as answer:
            async for _ in answer.aiter_bytes():
                if leaves:
                    outcomes["left"] += 1
                    return
            outcomes[str(answer.status_code)] += 1
    except httpx2.HTTPError as error:
        outcomes[type(error).__name__] += 1


async def load(url: str, key: str, sims: dict[str, Provider], *, seconds: float, per_second: float) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    running: set[asyncio.Task[None]] = set()
    limits = httpx2.Limits(max_connections=200)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, limits=limits, trust_env=False, timeout=60) as client:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if len(running) < 200:
                task = asyncio.create_task(one_request(client, sims, outcomes))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(random.expovariate(per_second))
            for sim in sims.values():
                if len(sim.requests) > 5000:
                    sim.requests.clear()
        await asyncio.gather(*running)
    return outcomes


def resident(process: psutil.Process) -> float:
    """MB of the platform, without its PostgreSQL."""
    ours = [process, *(child for child in process.children(recursive=True) if "postgres" not in child.name())]
    return sum(one.memory_info().rss for one in ours) / 1e6


async def watch(process: psutil.Process, samples: list[tuple[float, float]]) -> None:
    """Minutes and MB, every five seconds."""
    started, told = time.monotonic(), 0
    while True:
        minutes = (time.monotonic() - started) / 60
        samples.append((minutes, resident(process)))
        if int(minutes) > told:
            told = int(minutes)
            files = process.num_fds()
            print(f"{told:4} min  {samples[-1][1]:7.1f} MB  {files} open files", flush=True)
        await asyncio.sleep(5)


async def soak(minutes: float, per_second: float) -> None:
    sims: dict[str, Provider] = {name: kind() for name, (kind, _, _) in MODELS.items()}
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        for sim in sims.values():
            await sim.__aenter__()
        async with platform(sims, directory) as (url, process):
            key = await api_key(url, directory)
            samples: list[tuple[float, float]] = []
            watching = asyncio.create_task(watch(process, samples))
            outcomes = await load(url, key, sims, seconds=minutes * 60, per_second=per_second)
            watching.cancel()
            await asyncio.sleep(2)  # what was left behind would still be there
            files, after = process.num_fds(), resident(process)
        late = [sample for sample in samples if sample[0] >= minutes * WARM_UP]
        slope = statistics.linear_regression([at for at, _ in late], [mb for _, mb in late]).slope
        print(f"requests: {sum(outcomes.values())}: {dict(outcomes.most_common())}")
        print(f"resident: {samples[0][1]:.1f} MB at first, {late[0][1]:.1f} after warming up, {after:.1f} at the end")
        print(f"slope after warming up: {slope * 1000:.0f} kB per minute; open files at the end: {files}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--per-second", type=float, default=60)
    arguments = parser.parse_args()
    asyncio.run(soak(arguments.minutes, arguments.per_second))
