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
