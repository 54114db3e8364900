"""Where the CPU of a completion goes, by layer and by function, from samples of the whole platform under load.

PYTHONPATH=. .venv/bin/python benchmarks/profile_hot_path.py [--seconds 20] [--connections 32] [--raw FILE]
    [--stream]    # 20-chunk streams at 8 connections instead of whole answers

Needs nginx, wrk, and the right to look into another process (root, or kernel.yama.ptrace_scope=0). py-spy is installed
on first use in an environment of its own. A sample is a moment at which the event loop's thread was not idle.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare.endpoint import Endpoint
from benchmarks.compare.guard import check_stream, check_whole
from benchmarks.compare.ours import STANDALONE
from benchmarks.compare.processes import watching
from benchmarks.compare.providers import streams, whole_answers
from benchmarks.compare.streamed import streams_of
from benchmarks.compare.tools import CACHE, Missing, clean_up_when_told_to_end, free_port, need, python_environment
from benchmarks.compare.whole import whole_answers_of

PY_SPY = "py-spy==0.4.1"
RATE = 500
FRAME = re.compile(r"(?P<function>.+) \((?P<path>.+?)(:\d+)?\)")
OURS = ("api_gateway", "llm_service", "auth_service", "chat_service", "shared", "launcher")
THIRD = (
    "uvicorn", "starlette", "fastapi", "httpx2", "httpcore2", "httpcore", "asyncpg", "sqlalchemy", "pydantic",
    "pydantic_settings", "structlog", "prometheus_client", "opentelemetry", "msgspec", "anyio", "h11", "httptools",
    "jwt", "pyreqwest", "uvloop", "openai", "logging", "asyncio", "contextlib", "re", "email", "json", "ssl",
    "contextvars",
)  # fmt: skip
STANDARD = re.compile(r"lib/python3\.\d+/(?P<module>.+)\.py$")
EVENT_LOOP = "launcher.one_process:serve"
Stack = list[tuple[str, str]]
"""Frames from the outermost, each (layer, function)."""


def layer_of(path: str) -> tuple[str, str]:
    """The package, and the module within it."""
    tail = path.split("site-packages/")[-1]
    parts = tail.removesuffix(".py").split("/")
    for package in (*OURS, *THIRD):
        if package in parts:
            inner = len(parts) - 1 - parts[::-1].index(package)
            return package, ".".join(parts[inner:]).removesuffix(".__init__")
    found = STANDARD.search(path)
    return "standard library", (found["module"].replace("/", ".") if found else tail)


def read(raw: str) -> list[tuple[Stack, int]]:
    """py-spy's folded stacks, of the thread that serves."""
    found = []
    for line in raw.splitlines():
        folded, _, count = line.rpartition(" ")
        stack: Stack = []
        for frame in folded.split(";"):
            if match := FRAME.fullmatch(frame):
                layer, module = layer_of(match["path"])
                stack.append((layer, f"{module}:{match['function']}"))
        if any(function == EVENT_LOOP for _, function in stack):
            found.append((stack, int(count)))
    return found


def table(title: str, counts: Counter[str], *, total: int, per_request: float, most: int) -> None:
    print(f"\n### {title}\n\n| | share | µs per request |\n|---|---|---|")
    for name, count in counts.most_common(most):
        print(f"| {name} | {100 * count / total:.1f} % | {per_request * count / total:.0f} |")


def tell(stacks: Sequence[tuple[Stack, int]], *, per_request: float, most: int) -> None:
    total = sum(count for _, count in stacks)
    self_layer, near_layer = Counter[str](), Counter[str]()
    self_function, cumulative = Counter[str](), Counter[str]()
    for stack, count in stacks:
        self_layer[stack[-1][0]] += count
        self_function[stack[-1][1]] += count
        near_layer[next((module for layer, module in reversed(modules(stack)) if layer in OURS), "none of ours")] += (
            count
        )
        for function in {function for layer, function in stack if layer in (*OURS, *THIRD)}:
            cumulative[function] += count
    given = {"total": total, "per_request": per_request}
    table("By package, self", self_layer, most=30, **given)  # type: ignore[arg-type] # one is whole, one is not
    table("By our own module, with what it calls of others", near_layer, most=40, **given)  # type: ignore[arg-type] # as above
    table("By function, cumulative", cumulative, most=most, **given)  # type: ignore[arg-type] # as above
    table("By function, self", self_function, most=most, **given)  # type: ignore[arg-type] # as above


def modules(stack: Stack) -> list[tuple[str, str]]:
    return [(layer, function.split(":")[0]) for layer, function in stack]


def sampled(pid: int, *, seconds: float, to: Path) -> subprocess.Popen[bytes]:
    python = python_environment(CACHE / "py-spy", PY_SPY)
    spy = [str(python.with_name("py-spy")), "record", "--pid", str(pid), "--duration", str(round(seconds))]
    form = ["--rate", str(RATE), "--format", "raw", "--function", "--full-filenames", "--output", str(to)]
    return subprocess.Popen([*spy, *form], stdout=subprocess.DEVNULL)  # noqa: S603 # of our own making


def cost_of(endpoint: Endpoint, *, streamed: bool, connections: int, seconds: float, folder: Path) -> tuple[float, str]:
    """CPU µs per request without being looked into, and what the load was."""
    with watching(endpoint.groups) as watch:
        answered, said = loaded(endpoint, streamed=streamed, connections=connections, seconds=seconds, folder=folder)
    return watch.cpu / answered * 1e6, said


def loaded(endpoint: Endpoint, *, streamed: bool, connections: int, seconds: float, folder: Path) -> tuple[int, str]:
    if streamed:
        streams = streams_of(endpoint, connections=connections, seconds=seconds)
        return streams.streams, f"{streams.per_second} streams/s, {streams.failed} failed {streams.why}"
    whole = whole_answers_of(endpoint, connections=connections, seconds=seconds, folder=folder)
    return whole.requests, f"{whole.per_second} requests/s, p50 {whole.p50} ms, {whole.failed} failed"


def profile(*, seconds: float, connections: int, streamed: bool, raw: Path | None, most: int) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = raw or folder / "stacks"
        (platform := folder / "platform").mkdir()
        provider = streams(port, chunks=20) if streamed else whole_answers(port, folder=folder / "provider")
        with provider, STANDALONE.running(f"http://127.0.0.1:{port}/v1", platform) as endpoint:
            check_stream(endpoint, chunks=20) if streamed else check_whole(endpoint)
            load = {"streamed": streamed, "connections": connections, "folder": folder}
            loaded(endpoint, seconds=3, **load)  # type: ignore[arg-type] # each its own
            per_request, said = cost_of(endpoint, seconds=6, **load)  # type: ignore[arg-type] # each its own
            spy = sampled(endpoint.groups["platform"].root.pid, seconds=seconds, to=output)
            loaded(endpoint, seconds=seconds + 3, **load)  # type: ignore[arg-type] # each its own
            if spy.wait():
                sys.exit("py-spy could not look into the process (see the head of this file)")
        print(f"{connections} connections: {said}; {per_request:.0f} µs of CPU each, all threads, PostgreSQL apart")
        tell(read(output.read_text()), per_request=per_request, most=most)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--connections", type=int, default=0, help="32, or 8 for streams")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--raw", type=Path, help="where py-spy's folded stacks stay, for flame graphs")
    parser.add_argument("--most", type=int, default=60)
    arguments = parser.parse_args()
    clean_up_when_told_to_end()
    try:
        need("nginx", "wrk")
        profile(
            seconds=arguments.seconds,
            connections=arguments.connections or (8 if arguments.stream else 32),
            streamed=arguments.stream,
            raw=arguments.raw,
            most=arguments.most,
        )
    except Missing as missing:
        sys.exit(str(missing))
