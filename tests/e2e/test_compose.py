"""The containers, from `cp .env.example .env` to the examples; and the long way round, with only PostgreSQL in one."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.compose import Compose, build_images, compose, missing_engine
from tests.e2e.examples import check_shell_blocks, run_node, run_sdk, run_shell_blocks
from tests.e2e.platforms import Platform, clean_environment, stop, wait_until_healthy
from tests.e2e.readme import ROOT
from tests.launcher.homes import free_port
from tests.leaks import leaks

REASON = missing_engine()
pytestmark = [
    pytest.mark.compose,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.timeout(900),
]
QUESTION = "Qual é a capital do Brasil?"
SERVICES = {"postgres", "valkey", "auth-service", "llm-service", "chat-service", "api-gateway"}


@pytest.fixture(scope="module")
def running() -> Iterator[Compose]:
    build_images()
    with tempfile.TemporaryDirectory(prefix="syn-") as directory, compose(Path(directory)) as project:
        project.run("up", "-d", "--no-build")
        assert set(project.container_health().values()) == {"healthy"}  # at once: the next command is `ps`
        yield project


def test_compose_ends_with_everything_healthy(running: Compose) -> None:
    health = running.container_health()
    assert health.keys() == SERVICES
    assert set(health.values()) == {"healthy"}


def test_compose_runs_services_without_privileges(running: Compose) -> None:
    assert running.run("exec", "-T", "auth-service", "id", "-u").strip() == "10001"


def test_compose_makes_secrets_that_services_can_only_read_and_no_log_shows(running: Compose) -> None:
    logs = running.run("logs", "--no-color")
    for name in ("admin_password", "secret_key"):
        for service in SERVICES - {"postgres", "valkey"}:
            told = running.run("exec", "-T", service, "stat", "-c", "%a %u", f"/data/{name}")
            assert told.split() == ["600", "10001"]
            assert "Read-only" in running.run("exec", "-T", service, "sh", "-c", f"(echo x >> /data/{name}) 2>&1; true")
        secret = running.run("exec", "-T", "auth-service", "cat", f"/data/{name}").strip()
        assert len(secret) >= 24
        assert leaks(logs, {secret}) == []


def test_the_readme_works_as_pasted_on_compose(running: Compose) -> None:
    platform = running.platform()
    printed = run_shell_blocks(platform)
    check_shell_blocks(printed, provider="echo", answer=QUESTION)
    assert run_node(platform, printed["exported"]) == QUESTION
    assert run_sdk(platform, printed["exported"]).strip() == QUESTION


def test_compose_keeps_what_was_said_over_a_restart(running: Compose) -> None:
    before = run_shell_blocks(running.platform())
    running.run("restart", "--timeout", "8")
    running.wait_until_healthy()
    after = run_shell_blocks(running.platform())
    kept = {message["id"] for message in json.loads(after["history"])["data"]}
    assert {message["id"] for message in json.loads(before["history"])["data"]} <= kept


def test_the_long_way_round_with_postgres_from_compose() -> None:
    """`docker-compose up -d postgres`, `alembic upgrade head` on the host with settings from .env, then uvicorn."""
    with tempfile.TemporaryDirectory(prefix="syn-") as directory, compose(Path(directory)) as project:
        project.run("up", "-d", "--no-build", "postgres")
        _write_dotenv(project)
        binaries = Path(sys.executable).parent
        for name in ("alembic.ini", "migrations", "api-gateway"):
            (project.directory / name).symlink_to(ROOT / name)
        environment = clean_environment(PATH=f"{binaries}:{os.environ['PATH']}")
        _alembic_upgrade(project, environment)
        port = free_port()
        log = project.directory / "uvicorn.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["uvicorn", "api-gateway.main:app", "--port", str(port)],
                cwd=project.directory,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            password = f"cat {project.directory}/.synapscale/admin_password"
            platform = Platform(f"http://localhost:{port}", password, log)
            wait_until_healthy(platform, process=process)
            check_shell_blocks(run_shell_blocks(platform), provider="echo", answer=QUESTION)
            assert not (project.directory / ".synapscale" / "postgres").exists()
        finally:
            stop(process)


def _write_dotenv(project: Compose) -> None:
    """Takes the # off SYNAPSCALE_DATABASE_URL, as the README says, and puts this test's port there."""
    text = (project.directory / ".env.example").read_text()
    assert "\n# SYNAPSCALE_DATABASE_URL=" in text
    text = text.replace("\n# SYNAPSCALE_DATABASE_URL=", "\nSYNAPSCALE_DATABASE_URL=")
    (project.directory / ".env").write_text(text.replace("@127.0.0.1:5432/", f"@127.0.0.1:{project.postgres_port}/"))


def _alembic_upgrade(project: Compose, environment: dict[str, str]) -> None:
    """PostgreSQL may still be starting: a person would try again."""
    for _ in range(40):
        done = subprocess.run(
            ["alembic", "upgrade", "head"], cwd=project.directory, env=environment, capture_output=True, text=True
        )
        if done.returncode == 0:
            return
        project.run("exec", "-T", "postgres", "pg_isready", "-h", "127.0.0.1", "-t", "3", check=False)
    raise AssertionError(done.stdout + done.stderr)
