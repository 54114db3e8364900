"""`synapscale doctor`: what it finds, and that it says how to mend it."""

import os
import signal
import socket
from collections.abc import Callable

import pytest

from launcher.doctor import examine
from tests.launcher.homes import ROOT, Home

Doctor = Callable[..., tuple[int, str]]


@pytest.fixture
def doctor(fresh_home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs it in a fresh home, in this process: status and output."""
    monkeypatch.chdir(fresh_home.path)
    for name in os.environ:
        if name.startswith(("SYNAPSCALE_", "OPENAI_", "OLLAMA_")):
            monkeypatch.delenv(name)

    def run(**variables: str) -> tuple[int, str]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return examine(), capsys.readouterr().out

    return run


def test_on_a_fresh_machine_nothing_is_wrong_and_nothing_is_made(fresh_home: Home, port: int) -> None:
    done = fresh_home.run("synapscale", "doctor", SYNAPSCALE_PORT=str(port))
    assert done.returncode == 0, done.stdout
    assert f"ok    port {port}" in done.stdout
    assert "embedded postgres (PostgreSQL) 18" in done.stdout
    assert "the echo provider answers" in done.stdout
    assert not fresh_home.data_dir.exists()


def test_a_taken_port_is_wrong(doctor: Doctor, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        status, told = doctor(SYNAPSCALE_PORT=str(port))
    assert status == 1
    assert f"FAIL  port {port}  in use on 127.0.0.1 by another program" in told
    assert "synapscale up --port N" in told


def test_a_port_that_the_platform_itself_has_taken_is_fine(home: Home, port: int) -> None:
    running = home.up(port=port)
    running.wait_until_healthy()
    done = home.run("synapscale", "doctor", SYNAPSCALE_PORT=str(port))
    assert done.returncode == 0
    assert f"SynapScale is running (process {running.process.pid})" in done.stdout
    running.stop(signal.SIGTERM)


def test_a_database_that_is_not_migrated_is_mended_by_migrating(
    doctor: Doctor, fresh_home: Home, empty_database_url: str
) -> None:
    status, told = doctor(SYNAPSCALE_DATABASE_URL=empty_database_url)
    assert status == 1
    assert "not up to date: it is at revision none" in told
    assert "→ synapscale migrate" in told
    assert fresh_home.run("synapscale", "migrate", SYNAPSCALE_DATABASE_URL=empty_database_url).returncode == 0
    status, told = doctor()
    assert status == 0, told


def test_a_database_that_does_not_answer_is_shown_without_its_password(doctor: Doctor) -> None:
    status, told = doctor(SYNAPSCALE_DATABASE_URL="postgresql://me:hidden-word@127.0.0.1:1/x")
    assert status == 1
    assert "127.0.0.1:1/x does not answer" in told
    assert "hidden-word" not in told


def test_a_cluster_of_another_version_says_what_to_do(doctor: Doctor, fresh_home: Home) -> None:
    (fresh_home.data_dir / "postgres").mkdir(parents=True)
    (fresh_home.data_dir / "postgres" / "PG_VERSION").write_text("14\n")
    status, told = doctor()
    assert status == 1
    assert "was made by PostgreSQL 14, and this is 18" in told


def test_a_misspelt_setting_is_found_with_what_was_meant(doctor: Doctor, fresh_home: Home) -> None:
    (fresh_home.path / ".env").write_text("SYNAPSCALE_DATABSE_URL=postgresql://x\nOPENAI_API_KEY=hidden-word\n")
    status, told = doctor()
    assert status == 1
    assert "SYNAPSCALE_DATABSE_URL is the name of no setting" in told
    assert "Did you mean SYNAPSCALE_DATABASE_URL?" in told
    assert "configured: openai" in told
    assert "hidden-word" not in told


def test_the_example_of_settings_is_itself_fine(doctor: Doctor, fresh_home: Home) -> None:
    (fresh_home.path / ".env").write_text((ROOT / ".env.example").read_text())
    status, told = doctor()
    assert status == 0, told


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SYNAPSCALE_PORT", "70000", "SYNAPSCALE_PORT: Input should be less than or equal to 65535"),
        ("SYNAPSCALE_LLM_CONFIG", "missing.yaml", "missing.yaml cannot be read"),
        ("SYNAPSCALE_ENV", "production", "SYNAPSCALE_SECRET_KEY is missing"),
        ("SYNAPSCALE_HOST", "192.0.2.1", "Correct SYNAPSCALE_HOST"),
    ],
)
def test_a_setting_that_would_not_work_is_found(doctor: Doctor, name: str, value: str, told: str) -> None:
    status, found = doctor(**{name: value})
    assert status == 1
    assert told in found
