"""Our own platform, started by `synapscale up` in an empty folder, with one provider and with its rate limit on."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import httpx2
import psutil

from benchmarks.compare.endpoint import Endpoint
from benchmarks.compare.processes import Group, end
from benchmarks.compare.tools import ROOT, Missing, free_port

HIGHEST = "1000000"
"""The highest limit of requests per minute that there is: it is decided on, and refuses nobody."""
LONGEST_START = 180.0
MODULES = {"gateway": "api_gateway.main:app", "llm-service": "llm_service.main:app"}
"""The processes that a completion goes through, where each service is one."""


@dataclass(frozen=True)
class Ours:
    """`settings` are environment variables beside those that every run has."""

    name: str
    processes: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return version("synapscale-launcher")

    def install(self, cache: Path) -> None:
        """It is what this harness belongs to."""

    @contextmanager
    def running(self, provider: str, directory: Path) -> Iterator[Endpoint]:
        with self.started(provider, directory) as (url, process):
            wait_until_healthy(url, process, directory)
            yield Endpoint(
                f"{url}/v1/chat/completions",
                groups=groups_of(process, directory, processes=self.processes),
                headers={"authorization": f"Bearer {access_token(url, directory)}"},
            )

    @contextmanager
    def started(self, provider: str, directory: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
        """The gateway's address, before anybody answers there. The folder may hold the data of an earlier start."""
        for name in (
            "alembic.ini",
            "config",
            "migrations",
        ):  # not our own folder: a developer's .env is none of a benchmark's
            if not (link := directory / name).exists():
                link.symlink_to(ROOT / name)
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251 # for the child
            "OPENAI_API_KEY": "sk-nobody",
            "OPENAI_BASE_URL": provider,
            "SYNAPSCALE_DATA_DIR": str(directory / "data"),
            "SYNAPSCALE_RATE_LIMIT_PER_MINUTE": HIGHEST,
            **self.settings,
        }
        command = [str(ROOT / ".venv" / "bin" / "synapscale"), "up", "--port", str(port)]
        if self.processes:
            command.append("--processes")
        with (directory / "log").open("ab") as log:
            process = subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log)  # noqa: S603 # our own command
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            end(process)


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], directory: Path) -> None:
    """Until every service is. Raises Missing with the end of the log."""
    deadline = time.monotonic() + LONGEST_START
    with httpx2.Client(base_url=url, trust_env=False, timeout=5) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                answer = client.get("/health")
                if answer.status_code == 200 and answer.json()["status"] == "ok":
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.02)
    raise Missing(f"synapscale up: not healthy. {(directory / 'log').read_text()[-1000:]}")


def access_token(url: str, directory: Path) -> str:
    password = (directory / "data" / "admin_password").read_text().strip()
    asked = {"username": "admin", "password": password}
    with httpx2.Client(base_url=url, trust_env=False, timeout=30) as client:
        answer = client.post("/api/auth/token", json=asked)
        return str(answer.raise_for_status().json()["access_token"])


def groups_of(process: subprocess.Popen[bytes], directory: Path, *, processes: bool) -> dict[str, Group]:
    postmaster = int((directory / "data" / "postgres" / "postmaster.pid").read_text().split()[0])
    groups = {"postgres": Group("postgres", psutil.Process(postmaster))}
    root = psutil.Process(process.pid)
    if not processes:
        return {"platform": Group("platform", root), **groups}
    found = {name: one for one in root.children() for name, module in MODULES.items() if module in one.cmdline()}
    return {**{name: Group(name, found[name]) for name in MODULES}, **groups}


STANDALONE = Ours("synapscale, standalone")
DISTRIBUTED = Ours("synapscale, distributed", processes=True)
