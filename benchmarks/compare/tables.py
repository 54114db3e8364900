"""What was measured, as Markdown for people and as JSON for programs."""

import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.compare.scenarios import RATES, Figures

Results = dict[str, dict[str, Figures]]
"""By scenario, by gateway."""
PACKAGES = ("fastapi", "uvicorn", "uvloop", "httptools", "httpx2", "sqlalchemy", "asyncpg")


def about(versions: Mapping[str, str]) -> dict[str, str]:
    """Without these, a figure says nothing."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "command": shlex.join(["python", "-m", "benchmarks.compare", *sys.argv[1:]]),
        "gateways": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "Python": f"{platform.python_version()}; " + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def show_head(head: Mapping[str, str]) -> None:
    print("\n".join(f"- {name}: {value}" for name, value in head.items()))


def show(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def show_results(results: Results, *, ours: Sequence[str]) -> None:
    """A table for each scenario; the last columns are how often our rate holds that of the row."""
    for scenario, by_gateway in results.items():
        columns = list(dict.fromkeys(name for figures in by_gateway.values() for name in figures))
        ratios = [name for name in ours if rate_of(by_gateway.get(name, {}))] if len(by_gateway) > 1 else []
        print(f"\n### {scenario}\n")
        heads = ["gateway", *columns, *(f"{name.rpartition(' ')[2]} / it" for name in ratios)]
        show(heads, [row_of(name, by_gateway, columns, ratios) for name in by_gateway])


def row_of(name: str, by_gateway: Mapping[str, Figures], columns: Sequence[str], ratios: Sequence[str]) -> list[object]:
    figures = by_gateway[name]
    theirs = rate_of(figures)
    compared = [f"{rate_of(by_gateway[mine]) / theirs:.2f} ×" if theirs else "" for mine in ratios]
    return [name, *(figures.get(column, "") for column in columns), *compared]


def rate_of(figures: Figures) -> float:
    """0.0 where there is none."""
    return next((float(figures[name]) for name in RATES if name in figures), 0.0)
