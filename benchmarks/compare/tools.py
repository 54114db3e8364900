"""Programs and places that the harness needs: nginx and wrk, a cache for the peers, ports, waiting for a port."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from launcher.ports import is_free

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "synapscale-benchmarks"
FIRST_PORT, LAST_PORT = 22_600, 32_000
LONGEST_START = 120.0


class Missing(Exception):
    """What is needed and not here; says how to get it."""


def need(*programs: str) -> None:
    """Raises Missing."""
    if missing := [name for name in programs if shutil.which(name) is None]:
        names = " ".join(missing)
        raise Missing(
            f"{names}: not installed. Debian, Ubuntu: sudo apt-get install {names}; macOS: brew install {names}"
        )


_CANDIDATES = iter(range(FIRST_PORT, LAST_PORT, 8))


def free_port() -> int:
    """Another one each time, as nobody may listen there at once; the few after it are for processes behind it."""
    for port in _CANDIDATES:
        if is_free("127.0.0.1", port):
            return port
    raise Missing(f"There is no free port between {FIRST_PORT} and {LAST_PORT}.")


def clean_up_when_told_to_end() -> None:
    """SIGTERM ends the harness as Ctrl-C does: with everything that it has started."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def run(command: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """Its standard output. Raises Missing with what it said last where it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603 # of our own
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Missing(f"{' '.join(str(part) for part in command)}: {' '.join(said)}")
    return done.stdout


def python_environment(folder: Path, *packages: str) -> Path:
    """Its interpreter, with these packages of these versions installed; made on first use."""
    python = folder / "bin" / "python"
    wanted = "\n".join(packages)
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"… installing {', '.join(packages)} in {folder}", file=sys.stderr, flush=True)
        run([sys.executable, "-m", "venv", folder])
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        stamp.write_text(wanted)
    return python


def wait_for_port(port: int, process: subprocess.Popen[bytes], *, log: Path | None = None) -> None:
    """Raises Missing where the process ends, or does not listen in LONGEST_START seconds."""
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    said = " ".join(log.read_text(errors="replace").splitlines()[-3:]) if log else ""
    raise Missing(f"{process.args!r} does not listen on port {port}. {said}")
