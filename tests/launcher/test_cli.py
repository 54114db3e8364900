"""`synapscale` itself: help, version, wrong usage, and `migrate`."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from shared import __version__
from tests.launcher.homes import BIN, Home


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--help"], "synapscale up --processes"),
        (["up", "--help"], "--port N"),
        (["migrate", "--help"], "Changes nothing where nothing is due"),
        (["doctor", "--help"], "says how to mend"),
        (["keys", "rotate", "--help"], "Nobody is logged out"),
        (["admin-password", "--help"], "and nothing else"),
        (["--version"], f"synapscale {__version__}"),
    ],
    ids=" ".join,
)
def test_help_is_there_at_once(home: Home, arguments: list[str], told: str) -> None:
    started = time.monotonic()
    done = home.run("synapscale", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert told in done.stdout
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("arguments", [[], ["fly"], ["up", "--port", "many"], ["keys"]], ids=" ".join)
def test_wrong_usage_is_told(home: Home, arguments: list[str]) -> None:
    done = home.run("synapscale", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: synapscale")


@pytest.mark.parametrize("command", [["up"], ["migrate"], ["doctor"], ["keys", "list"]], ids=" ".join)
def test_the_wrong_folder_is_told(tmp_path: Path, command: list[str]) -> None:
    done = subprocess.run([BIN / "synapscale", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "synapscale: There is no folder migrations/ here. Run this in SynapScale's own folder.\n"
    assert list(tmp_path.iterdir()) == []


def test_migrate_brings_its_own_database_or_uses_the_one_that_runs(home: Home, port: int) -> None:
    alone = home.run("synapscale", "migrate")
    assert (alone.returncode, alone.stdout) == (0, "The database is up to date.\n"), alone.stderr
    assert home.processes() == []
    running = home.up(port=port)
    running.wait_until_healthy()
    beside = home.run("synapscale", "migrate")
    assert beside.returncode == 0, beside.stderr
    assert running.health()["status"] == "ok"
    running.stop(signal.SIGTERM)


def test_migrate_makes_the_secrets_that_are_not_given_and_shows_them_to_nobody(fresh_home: Home) -> None:
    done = fresh_home.run("synapscale", "migrate", "--make-secrets", SYNAPSCALE_LOG_LEVEL="debug")
    assert done.returncode == 0, done.stderr
    for name in ("admin_password", "secret_key"):
        file = fresh_home.data_dir / name
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text() not in done.stdout + done.stderr
    shown = fresh_home.run("synapscale", "admin-password")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, fresh_home.admin_password + "\n", "")
    again = fresh_home.run("synapscale", "migrate", "--make-secrets")
    assert again.returncode == 0
    assert fresh_home.run("synapscale", "admin-password").stdout == shown.stdout


def test_migrate_makes_no_secret_that_is_given_or_not_asked_for(fresh_home: Home) -> None:
    given = {"SYNAPSCALE_SECRET_KEY": "k" * 40, "SYNAPSCALE_ADMIN_PASSWORD": "a long enough password"}
    assert fresh_home.run("synapscale", "migrate", "--make-secrets", **given).returncode == 0
    assert fresh_home.run("synapscale", "migrate").returncode == 0
    assert not (fresh_home.data_dir / "secret_key").exists()
    assert not (fresh_home.data_dir / "admin_password").exists()


@pytest.mark.parametrize("command", [["synapscale"], ["python", "-m", "auth_service"]], ids=" ".join)
def test_the_admins_password_is_shown_with_and_without_the_launcher(fresh_home: Home, command: list[str]) -> None:
    nothing = fresh_home.run(*command, "admin-password")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "the first start makes one" in nothing.stderr
    given = fresh_home.run(*command, "admin-password", SYNAPSCALE_ADMIN_PASSWORD="a long enough password")
    assert (given.returncode, given.stdout) == (0, "a long enough password\n")
    assert fresh_home.run(*command).returncode == 2
