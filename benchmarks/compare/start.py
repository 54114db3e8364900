"""How long a start takes, and what the platform takes of memory before anybody asks it anything."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare.ours import Ours, groups_of, wait_until_healthy
from benchmarks.compare.processes import resident_bytes
from benchmarks.compare.scenarios import Figures

NOBODY = "http://127.0.0.1:9/v1"
"""Refuses every connection: a start needs no provider that answers."""
SETTLED = 3.0
"""Seconds after which what only the start needed is given back."""


def measure_start(platform: Ours, *, times: int = 3) -> Figures:
    """The first start makes the database and is told apart; the others find it. Seconds; MB of each process."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        took = []
        memory: dict[str, int] = {}
        for number in range(times + 1):
            started = time.monotonic()
            with platform.started(NOBODY, directory) as (url, process):
                wait_until_healthy(url, process, directory)
                took.append(time.monotonic() - started)
                if number == times:
                    time.sleep(SETTLED)
                    groups = groups_of(process, directory, processes=platform.processes)
                    memory = {name: resident_bytes(group.members()) // 2**20 for name, group in groups.items()}
        figures: Figures = {"first start s": round(took[0], 2), "later starts s": seconds(took[1:])}
        return {**figures, "MB": " + ".join(f"{mb} {name}" for name, mb in memory.items() if name != "postgres")}


def seconds(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in sorted(values))
