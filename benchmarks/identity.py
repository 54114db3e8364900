"""What identity costs: knowing and limiting a caller, logging in, and a flood of logins as other requests feel it.

PYTHONPATH=. .venv/bin/python benchmarks/identity.py    # minutes, loopback only; name parts to have only those

Everything that is compared is measured in turns, in one run. Times per request are wall time on an event loop with
nothing else on it; logins are counted per second of CPU, so that other work on the machine falls on both sides alike.
"""

import asyncio
import itertools
import os
import platform
import socket
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import psutil
from argon2 import PasswordHasher
from starlette.types import Message, Receive, Scope, Send

from api_gateway.admission import Admission
from api_gateway.authentication import Authentication
from api_gateway.exchanged import ExchangedTokens
from api_gateway.metrics import Metrics
from api_gateway.proxy import Proxy
from api_gateway.rate_limit import HIGHEST, MemoryRateLimiter
from api_gateway.settings import Settings
from auth_service.organizations.models import Organization
from auth_service.users.models import User
from auth_service.users.passwords import LANES, MEMORY_KIB, PASSES, THREADS
from auth_service.users.repository import add_user
from launcher.postgres import EmbeddedPostgres
from migrations.run import upgrade
from shared.auth import TokenVerifier
from shared.auth.api_keys import new_api_key
from shared.auth.revocations import Revocation, Revocations
from shared.clients.auth import AuthClient, ExchangedToken
from shared.database import database
from shared.ids import new_id
from shared.request_id import RequestIdMiddleware
from shared.upstreams import Upstream, Upstreams
from tests.tokens import ISSUER, SECRET, StaticKeys, make_token

PACKAGES = ("argon2-cffi", "cryptography", "fastapi", "httpx2", "pyjwt", "sqlalchemy", "asyncpg", "uvicorn", "uvloop")
PASSWORD = "correct horse battery staple"  # noqa: S105 # of users who live for minutes
ROUNDS = 3
THIS = str(Path(__file__).resolve())


def say(name: str, value: float, unit: str, target: str = "") -> None:
    print(f"{name:66} {value:9.2f} {unit:4} {target}".rstrip(), flush=True)


# ---------------------------------------------------------------------------------------------- the gateway's part

REQUESTS = 2000


class Echo(Upstream):
    """Answers at once, so that what is left is what the gateway does."""

    def _run(self) -> Any:
        raise AssertionError("it is only forwarded to")

    def client(self) -> httpx2.AsyncClient:
        raise AssertionError("it is only forwarded to")

    async def forward(self, scope: Scope, receive: Receive, send: Send, *, answer_timeout: float) -> None:  # noqa: ARG002 # the seam's signature
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class OneKey(AuthClient):
    """auth-service, as far as one API key is concerned."""

    def __init__(self) -> None:
        super().__init__(Echo("auth"), secret=SECRET, service="gateway")

    async def exchange(self, *_: object, **__: object) -> ExchangedToken:
        policy = {"requests_per_minute": HIGHEST}
        return ExchangedToken(make_token(sid="key_" + "0" * 32, policy=policy), expires_in=300, scope="")


def gateway_state(upstreams: Upstreams) -> dict[str, Any]:
    limits = {"rate_limit_per_minute": HIGHEST, "rate_limit_anonymous_per_minute": 0, "rate_limit_login_per_minute": 0}
    metrics, revocations = Metrics(), Revocations()
    revocations.learn([Revocation(number, f"ses_{number}", time.time()) for number in range(1000)])
    verifier = TokenVerifier(StaticKeys(), issuer=ISSUER, revocations=revocations)
    return {
        "upstreams": upstreams,
        "authentication": Authentication(verifier, exchanged=ExchangedTokens(OneKey()), issuer=ISSUER),
        "admission": Admission(MemoryRateLimiter(), settings=Settings(secret_key=SECRET, **limits), metrics=metrics),
        "metrics": metrics,
    }


def request_of(path: str, credential: str, state: dict[str, Any]) -> dict[str, Any]:
    """As OpenAI's client sends it."""
    headers = {
        "host": "localhost:8000",
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "connection": "keep-alive",
        "content-type": "application/json",
        "user-agent": "AsyncOpenAI/Python 3.57.0",
        "x-stainless-lang": "python",
        "x-stainless-retry-count": "0",
        "authorization": f"Bearer {credential}",
        "content-length": "2",
    }
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50000),
        "state": state,
    }


async def median_request(proxy: RequestIdMiddleware, scope: dict[str, Any]) -> float:
    """p50 in microseconds of a request, from the proxy's call to its return."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Message) -> None:
        assert message.get("status", 200) == 200

    took = []
    for _ in range(REQUESTS):
        started = time.perf_counter_ns()
        await proxy(dict(scope), receive, send)
        took.append(time.perf_counter_ns() - started)
    return statistics.median(took) / 1000


async def measure_gateway() -> None:
    """A public route of the same proxy, with its limit off, is the request without identity."""
    echo = Echo("llm")
    state = gateway_state(Upstreams([echo, Echo("auth")]))

    async def nowhere(*_: object) -> None:
        raise AssertionError

    proxy = RequestIdMiddleware(Proxy(nowhere, max_body_bytes=1 << 20, upstream_timeout=10), service="gateway")
    token = make_token()
    scopes = {
        "neither": request_of("/api/auth/revoke", token, state),
        "token": request_of("/v1/chat/completions", token, state),
        "key": request_of("/v1/chat/completions", new_api_key(), state),
    }
    rounds: dict[str, list[float]] = defaultdict(list)
    for name in list(scopes) * (ROUNDS + 1):
        rounds[name].append(await median_request(proxy, scopes[name]))
    found = {name: each[1:] for name, each in rounds.items()}  # the first round warms up
    say("proxied request without identity, p50", statistics.median(found["neither"]), "µs")
    for name, told in (("token", "a remembered access token, one limit"), ("key", "a remembered API key, two limits")):
        added = [one - other for one, other in zip(found[name], found["neither"], strict=True)]
        say(f"added by {told}, p50", statistics.median(added), "µs", "target <= 60")


# ---------------------------------------------------------------------------------------------- auth-service's part

USERS, LOGINS, AT_ONCE = 200, 60, 16
PROBES = 200
numbers = itertools.count()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


async def make_users(database_url: str, hasher: PasswordHasher) -> None:
    """All with the same password: who verifies it cannot tell."""
    hashed = hasher.hash(PASSWORD)
    async with database(database_url) as sessions, sessions.begin() as session:
        organization = Organization(id=new_id("org"), name="Benchmark")
        session.add(organization)
        await session.flush()
        for number in range(USERS):
            user = User(
                id=new_id("usr"), organization_id=organization.id, username=f"user{number}", password_hash=hashed
            )
            await add_user(session, user, role="member")


@asynccontextmanager
async def ended_with_us(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another Python of ours; it ends when its standard input closes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.PIPE, env={"PYTHONPATH": ".", **environment}
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def serving(database_url: str, directory: str) -> AsyncIterator[tuple[str, psutil.Process]]:
    """auth-service in a process of its own, as `synapscale up` starts it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "DATABASE_URL": database_url,
        "SECRET_KEY": SECRET,
        "DATA_DIR": directory,
        "ADMIN_PASSWORD": PASSWORD,
        "LOG_LEVEL": "warning",
    }
    given = {f"SYNAPSCALE_{name}": value for name, value in settings.items()}
    arguments = ("-m", "shared.server", "auth_service.main:app", "--port", str(port), "--exit-with-parent")
    async with ended_with_us(*arguments, **given) as process, asyncio.timeout(600):
        async with httpx2.AsyncClient(trust_env=False) as client:
            while process.returncode is None:
                try:
                    await client.get(f"{url}/health/live")
                    break
                except httpx2.ConnectError:
                    await asyncio.sleep(0.05)
        assert process.returncode is None, "auth-service did not start"
        yield url, psutil.Process(process.pid)


async def log_in(client: httpx2.AsyncClient) -> str:
    """The next user, from an address where nobody has logged in yet."""
    number = next(numbers)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    answer = await client.post(
        "/api/auth/token",
        json={"username": f"user{number % USERS}", "password": PASSWORD},
        headers={"x-forwarded-for": address},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def at_once(work: Callable[[], Awaitable[object]], *, times: int) -> float:
    """Wall seconds for `times`, `AT_ONCE` at a time."""
    left = itertools.count()

    async def worker() -> None:
        while next(left) < times:
            await work()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return time.perf_counter() - started


def cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def cpu_of_loop(process: psutil.Process) -> float:
    """Of the thread that the process began with, which is the event loop's."""
    return next(float(each.user_time + each.system_time) for each in process.threads() if each.id == process.pid)


def cpu_of_backends(postgres: psutil.Process) -> dict[int, float]:
    """By process id, of those that run now."""
    found = {}
    for backend in (postgres, *postgres.children()):
        with suppress(psutil.NoSuchProcess):
            found[backend.pid] = cpu_of(backend)
    return found


async def measure_logins(url: str, service: psutil.Process, postgres: psutil.Process, hasher: PasswordHasher) -> None:
    stored = hasher.hash(PASSWORD)
    bare_cpu, login_cpu, loop_cpu, postgres_cpu, bare_wall, login_wall = ([] for _ in range(6))  # type: list[list[float]]
    with ThreadPoolExecutor(THREADS) as threads:
        loop = asyncio.get_running_loop()
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            for _ in range(ROUNDS + 1):
                before = time.process_time()
                bare_wall.append(
                    LOGINS
                    / await at_once(
                        lambda: loop.run_in_executor(threads, hasher.verify, stored, PASSWORD), times=LOGINS
                    )
                )
                bare_cpu.append((time.process_time() - before) / LOGINS)
                before, loop_before, backends = cpu_of(service), cpu_of_loop(service), cpu_of_backends(postgres)
                login_wall.append(LOGINS / await at_once(lambda: log_in(client), times=LOGINS))
                login_cpu.append((cpu_of(service) - before) / LOGINS)
                loop_cpu.append((cpu_of_loop(service) - loop_before) / LOGINS)
                spent = (cpu - backends.get(pid, 0) for pid, cpu in cpu_of_backends(postgres).items())
                postgres_cpu.append(sum(spent) / LOGINS)
    tell_logins(*(each[1:] for each in (bare_cpu, login_cpu, loop_cpu, postgres_cpu, bare_wall, login_wall)))


def tell_logins(
    bare_cpu: Sequence[float],
    login_cpu: Sequence[float],
    loop_cpu: Sequence[float],
    postgres_cpu: Sequence[float],
    bare_wall: Sequence[float],
    login_wall: Sequence[float],
) -> None:
    def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
        return 100 * statistics.median(one / other for one, other in zip(ones, others, strict=True))

    say("argon2 alone, per second of CPU", 1 / statistics.median(bare_cpu), "/s")
    say("logins, per second of auth-service's CPU", 1 / statistics.median(login_cpu), "/s")
    say("  of argon2 alone", ratio(bare_cpu, login_cpu), "%", "target >= 90")
    say("  CPU of the event loop's thread per login", 1000 * statistics.median(loop_cpu), "ms")
    say("  PostgreSQL's CPU per login", 1000 * statistics.median(postgres_cpu), "ms")
    say(f"argon2 alone, {THREADS} threads, wall", statistics.median(bare_wall), "/s")
    say(
        f"logins, {AT_ONCE} at once, PostgreSQL and client on the same cores, wall", statistics.median(login_wall), "/s"
    )
    say("  of argon2 alone", ratio(login_wall, bare_wall), "%")


async def flood(url: str) -> None:
    """Logs in, many at once, until standard input closes: the work of a process of its own."""
    ending = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:

        async def worker() -> None:
            while not ending.done():
                await log_in(client)

        await asyncio.gather(*(worker() for _ in range(2 * AT_ONCE)))


async def milliseconds(client: httpx2.AsyncClient, path: str, **headers: str) -> list[float]:
    """Of each request, one after another."""
    took = []
    for _ in range(PROBES):
        started = time.perf_counter()
        answer = await client.get(path, headers=headers)
        took.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.text
        await asyncio.sleep(0.002)
    return took


def p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


async def measure_flood(url: str) -> None:
    quiet: dict[str, list[float]] = defaultdict(list)
    flooded: dict[str, list[float]] = defaultdict(list)
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        paths = {"/.well-known/jwks.json": {}, "/api/auth/me": {"authorization": f"Bearer {await log_in(client)}"}}

        async def probe(into: dict[str, list[float]]) -> None:
            for path, headers in paths.items():
                into[path] += [p99(took := await milliseconds(client, path, **headers)), statistics.median(took)]

        for _ in range(ROUNDS):
            await probe(quiet)
            async with ended_with_us(THIS, "flood", url):
                await asyncio.sleep(2)  # it has begun
                await probe(flooded)
    for path in paths:
        for name, first in (("p99", 0), ("p50", 1)):
            calm = statistics.median(quiet[path][first::2])
            busy = statistics.median(flooded[path][first::2])
            say(f"GET {path}, {name}, quiet", calm, "ms")
            say(f"GET {path}, {name}, while {2 * AT_ONCE} logins are always under way", busy, "ms")
            say("  times the quiet one", busy / calm, "x", "target <= 2" if name == "p99" else "")


async def measure_auth(wanted: set[str]) -> None:
    hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
    with tempfile.TemporaryDirectory(prefix="syn-") as directory:
        os.chmod(directory, 0o711)  # noqa: S103 # PostgreSQL has a user of its own where this runs as root
        server = EmbeddedPostgres(Path(directory) / "data")
        try:
            database_url = server.start()
            postgres = psutil.Process(int((server.cluster / "postmaster.pid").read_text().split()[0]))
            await asyncio.to_thread(upgrade, database_url)
            await make_users(database_url, hasher)
            async with serving(database_url, directory) as (url, service):
                if "logins" in wanted:
                    await measure_logins(url, service, postgres, hasher)
                if "others" in wanted:
                    await measure_flood(url)
        finally:
            server.stop()


PARTS = {"gateway", "logins", "others"}


async def main(*parts: str) -> None:
    wanted = set(parts) or PARTS
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print(f"CPython {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {versions}")
    print(f"argon2id m={MEMORY_KIB} KiB, t={PASSES}, p={LANES}; load before the run {os.getloadavg()[0]:.1f}")
    if "gateway" in wanted:
        await measure_gateway()
    if wanted & {"logins", "others"}:
        await measure_auth(wanted)
    print(f"load after the run {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(flood(sys.argv[2]) if sys.argv[1:2] == ["flood"] else main(*sys.argv[1:]))
