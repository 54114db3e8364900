"""The platform, started as a user starts it: real processes, a data directory and a port of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.e2e.readme import ROOT
from tests.launcher.homes import free_port
from tests.leaks import leaks, secrets_of

START_LIMIT = 60.0
STOP_LIMIT = 6.0
SYNAPSCALE = Path(sys.executable).with_name("synapscale")


@dataclass(frozen=True)
class Platform:
    """A running one; `password_command` prints the admin's password in a shell."""

    url: str
    password_command: str
    log: Path | None = None
    pid: int | None = None

    def health(self) -> httpx2.Response:
        return httpx2.get(f"{self.url}/health", timeout=5)

    def as_pasted(self, code: str) -> str:
        """A block of the README, on this platform's port and password."""
        return code.replace("http://localhost:8000", self.url).replace(
            "$(cat .synapscale/admin_password)", f"$({self.password_command})"
        )


def clean_environment(**extra: str) -> dict[str, str]:
    """This one without what belongs to somebody's own installation."""
    ours = ("SYNAPSCALE_", "OPENAI_", "OLLAMA_", "PG", "POSTGRES_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "SYNAPSCALE_LOG_FORMAT": "json", **extra}


def wait_until_healthy(platform: Platform, *, process: subprocess.Popen[bytes], limit: float = START_LIMIT) -> None:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if platform.health().json()["status"] == "ok":
                return
        except (httpx2.HTTPError, ValueError, KeyError):
            pass
        time.sleep(0.05)
    log = platform.log.read_text()[-5000:] if platform.log else ""
    raise AssertionError(f"the platform did not become healthy (exit code {process.poll()}):\n{log}")


@contextmanager
def platform(*arguments: str, data_dir: Path, environment: Mapping[str, str] | None = None) -> Iterator[Platform]:
    """`synapscale up …`, healthy; stopped by SIGTERM within its limit and without a secret in its log, or it fails."""
    port = free_port()
    log = data_dir.with_suffix(".log")
    data = {"SYNAPSCALE_DATA_DIR": str(data_dir), "SYNAPSCALE_PUBLIC_URL": f"http://localhost:{port}"}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [SYNAPSCALE, "up", "--port", str(port), *arguments],
            cwd=ROOT,
            env=clean_environment(**data, **(environment or {})),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    started = Platform(f"http://localhost:{port}", f"cat {data_dir}/admin_password", log, process.pid)
    try:
        wait_until_healthy(started, process=process)
        yield started
    finally:
        took = stop(process)
        assert took < STOP_LIMIT, f"it took {took:.1f} s to stop:\n{log.read_text()[-3000:]}"
        assert leaks(log.read_text(), secrets_of(data_dir, environment)) == []


def stop(process: subprocess.Popen[bytes]) -> float:
    """Seconds that it took."""
    started = time.monotonic()
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT + 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return time.monotonic() - started
