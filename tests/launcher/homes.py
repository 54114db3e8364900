"""A folder as a person has it after a checkout, the commands they run there, and everything that runs because of it."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil

from launcher.ports import is_free
from tests.leaks import leaks, secrets_of

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START_LIMIT = 40.0
"""Seconds; generous, for machines that do other things at the same time."""


class Home:
    """Its data directory is the default one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data_dir = path / ".synapscale"

    def start(self, *command: str, port: int, **variables: str) -> "Started":
        """`command` is a program of the environment, and what it is given."""
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
        output = self.path / f"output-{port}-{time.monotonic_ns()}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [BIN / command[0], *command[1:]],
                cwd=self.path, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return Started(process, output=output, port=port)

    def up(self, *arguments: str, port: int, **variables: str) -> "Started":
        return self.start("synapscale", "up", "--port", str(port), *arguments, port=port, **variables)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """To its end."""
        environment = {"PATH": os.environ["PATH"], **variables}
        return subprocess.run(
            [BIN / command[0], *command[1:]],
            cwd=self.path, env=environment, capture_output=True, text=True, timeout=START_LIMIT, check=False,
        )  # fmt: skip

    def processes(self) -> list[psutil.Process]:
        """All that work in this folder or on its data, however they were started."""
        return [process for process in psutil.process_iter() if self._is_here(process)]

    def _is_here(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.cwd() == str(self.path) or str(self.data_dir) in " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def end_everything(self) -> None:
        for process in self.processes():
            process.kill()
        eventually(lambda: not self.processes(), what="everything is dead", within=10)

    @property
    def postgres_pid(self) -> int:
        return int((self.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])

    @property
    def admin_password(self) -> str:
        return (self.data_dir / "admin_password").read_text()


class Started:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[bytes], *, output: Path, port: int) -> None:
        self.process = process
        self.url = f"http://localhost:{port}"
        self._output = output
        self._since = time.monotonic()

    def output(self) -> str:
        return self._output.read_text()

    def wait_until_healthy(self) -> float:
        """Seconds from the command on."""
        self._wait(lambda: self.health().get("status") == "ok", what="healthy")
        return time.monotonic() - self._since

    def wait_for(self, text: str, *, times: int = 1) -> None:
        self._wait(lambda: self.output().count(text) >= times, what=f"saying {text!r}")

    def _wait(self, condition: Callable[[], bool], *, what: str) -> None:
        def holds_or_never_will() -> bool:
            return condition() or self.process.poll() is not None

        eventually(holds_or_never_will, what=f"{what}:\n{self._output}")
        assert condition(), f"ended with {self.process.poll()} before {what}:\n{self.output()[-5000:]}"

    def health(self) -> dict[str, Any]:
        """Empty while nobody answers."""
        try:
            answer: dict[str, Any] = httpx2.get(f"{self.url}/health", timeout=5).json()
        except (httpx2.HTTPError, ValueError):
            return {}
        return answer

    def log_in(self, password: str) -> httpx2.Response:
        return httpx2.post(f"{self.url}/api/auth/token", json={"username": "admin", "password": password}, timeout=10)

    def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Exit code, and the seconds that it took."""
        asked = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(20), time.monotonic() - asked


def eventually(condition: Callable[[], bool], *, what: str, within: float = START_LIMIT) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not after {within} s: {what}"
        time.sleep(0.05)


def free_port() -> int:
    """One with free ones above it, where no outgoing connection takes them."""
    for first in iter(lambda: random.SystemRandom().randrange(20000, 30000), None):
        if all(is_free("127.0.0.1", port) for port in range(first, first + 6)):
            return first
    raise AssertionError("unreachable")


@contextmanager
def new_home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="syn-") as directory:
        home = Home(Path(directory).resolve())
        for name in ("alembic.ini", "api-gateway", "config", "migrations"):
            (home.path / name).symlink_to(ROOT / name)
        try:
            yield home
        finally:
            home.end_everything()
            said = "".join(file.read_text(errors="replace") for file in home.path.glob("output-*"))
            assert leaks(said, secrets_of(home.data_dir)) == []
