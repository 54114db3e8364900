"""What processes spend, from /proc (Linux): CPU time, resident memory now, and at its highest."""

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PATIENCE = 15.0
"""Seconds that a process has to end when it is asked to."""
GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, OSError)


@dataclass(frozen=True)
class Group:
    """A process with all that it started, but for PostgreSQL, which is a group of its own."""

    name: str
    root: psutil.Process

    def members(self) -> list[psutil.Process]:
        with suppress(*GONE):
            if "postgres" in self.name:
                return [self.root, *self.root.children(recursive=True)]
            children = [one for one in self.root.children(recursive=True) if "postgres" not in one.name()]
            return [self.root, *children]
        return []


@dataclass
class Spent:
    """Of one group while it was watched: CPU seconds; bytes resident at the end, and at the highest."""

    cpu: float = 0.0
    resident: int = 0
    peak: int = 0


@dataclass
class Watch:
    """Filled when the watched block has ended."""

    seconds: float = 0.0
    spent: dict[str, Spent] = field(default_factory=dict)

    @property
    def cpu(self) -> float:
        """CPU seconds of all but PostgreSQL."""
        return sum(one.cpu for name, one in self.spent.items() if name != "postgres")


def cpu_seconds(members: Sequence[psutil.Process]) -> float:
    total = 0.0
    for one in members:
        with suppress(*GONE):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def resident_bytes(members: Sequence[psutil.Process]) -> int:
    total = 0
    for one in members:
        with suppress(*GONE):
            total += one.memory_info().rss
    return total


def _peak_bytes(members: Sequence[psutil.Process]) -> int:
    total = 0
    for one in members:
        with suppress(*GONE):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{one.pid}/status").read_text())
            total += int(found[1]) * 1024 if found else 0
    return total


def _forget_peaks(members: Sequence[psutil.Process]) -> None:
    """The kernel then counts the highest anew; without the right to ask for it, the highest since the start stays."""
    for one in members:
        with suppress(*GONE):
            Path(f"/proc/{one.pid}/clear_refs").write_text("5")


@contextmanager
def watching(groups: Mapping[str, Group]) -> Iterator[Watch]:
    """Costs the watched nothing: the kernel counts."""
    watch = Watch()
    before = {}
    for name, group in groups.items():
        members = group.members()
        _forget_peaks(members)
        before[name] = cpu_seconds(members)
    started = time.monotonic()
    yield watch
    watch.seconds = time.monotonic() - started
    for name, group in groups.items():
        members = group.members()
        watch.spent[name] = Spent(cpu_seconds(members) - before[name], resident_bytes(members), _peak_bytes(members))


def end(process: subprocess.Popen[bytes]) -> None:
    """It and all that it started: asked first, killed when it does not listen."""
    with suppress(*GONE):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        _, left = psutil.wait_procs(family, timeout=1)
        for one in left:
            with suppress(*GONE):
                one.kill()
    process.wait()
