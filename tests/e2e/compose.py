"""docker-compose.yml, run as the README says, in a project and on ports of its own."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.e2e.platforms import Platform, clean_environment
from tests.e2e.readme import ROOT
from tests.launcher.homes import free_port

IMAGES = ("launcher", "auth-service", "llm-service", "chat-service", "api-gateway")
START_LIMIT = 180.0


def missing_engine() -> str | None:
    """Why containers cannot be tried here, or None if they can."""
    if command() is None:
        return "docker-compose is not installed"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        return "no container engine runs here"
    return None


def command() -> list[str] | None:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    return None


class Compose:
    """One project in a copy of what the repository ships for it."""

    def __init__(self, directory: Path, *, project: str, port: int, postgres_port: int) -> None:
        self.directory = directory
        self.port = port
        self.postgres_port = postgres_port
        self._command = [*(command() or []), "-p", project]
        self._environment = clean_environment(DOCKER_BUILDKIT="0", COMPOSE_DOCKER_CLI_BUILD="0")
        for name in ("docker-compose.yml", ".env.example"):
            shutil.copy(ROOT / name, directory / name)
        shutil.copytree(ROOT / "config", directory / "config")
        text = (directory / "docker-compose.yml").read_text()
        (directory / "docker-compose.yml").write_text(text.replace("127.0.0.1:5432:", f"127.0.0.1:{postgres_port}:"))
        example = (directory / ".env.example").read_text()
        (directory / ".env").write_text(f"{example}\nSYNAPSCALE_PORT={port}\n")

    def run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [*self._command, *arguments], cwd=self.directory, env=self._environment, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def platform(self) -> Platform:
        inside = " ".join(self._command)
        password = f"cd {self.directory} && {inside} exec -T auth-service synapscale admin-password"
        return Platform(f"http://localhost:{self.port}", password)

    def container_health(self) -> dict[str, str]:
        """What the engine thinks of each running container, by the name of its service."""
        ids = self.run("ps", "-q").split()
        inspected = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True).stdout
        return {
            state["Config"]["Labels"]["com.docker.compose.service"]: state["State"].get("Health", {}).get("Status")
            for state in json.loads(inspected)
            if state["State"]["Running"]
        }

    def wait_until_healthy(self) -> None:
        """Both for the gateway, which asks the services, and for the engine, which asks each container."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            try:
                answered = self.platform().health().json()["status"] == "ok"
                if answered and set(self.container_health().values()) == {"healthy"}:
                    return
            except (httpx2.HTTPError, ValueError, KeyError):
                pass
            time.sleep(0.2)
        raise AssertionError(self.run("ps") + self.run("logs", "--tail=30", check=False))


def build_images() -> None:
    """With the classic builder, and the host's network where a build has none of its own."""
    for service in IMAGES:
        tag = f"synapscale/{service}:0.1.0"
        build = ["docker", "build", "--network=host", "--build-arg", f"SERVICE={service}", "-t", tag, "."]
        environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
        done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@contextmanager
def compose(directory: Path) -> Iterator[Compose]:
    """A project without anything started; all of it is removed at the end."""
    project = Compose(directory, project=f"syn{free_port()}", port=free_port(), postgres_port=free_port())
    try:
        yield project
    finally:
        project.run("down", "--volumes", "--timeout", "8", check=False)
