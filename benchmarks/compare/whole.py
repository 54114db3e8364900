"""Whole answers as fast as they come, by wrk."""

import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare.endpoint import Endpoint
from benchmarks.compare.tools import run

MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Whole:
    """Latencies in ms. `failed` are answers that were no success, and connections that broke or took too long."""

    requests: int
    per_second: float
    p50: float
    p99: float
    failed: int


ANOTHER_EACH_TIME = """
local headers = {{}}
for line in io.lines({file}) do table.insert(headers, "Bearer " .. line) end
local turn = 0
request = function()
  turn = turn % #headers + 1
  wrk.headers["authorization"] = headers[turn]
  return wrk.format()
end
"""


def whole_answers_of(
    endpoint: Endpoint,
    *,
    connections: int,
    seconds: float,
    folder: Path,
    padding: int = 0,
    credentials: Path | None = None,
) -> Whole:
    """`padding` makes the prompt longer; `credentials` is a file with one in each line, used in turn."""
    script = folder / "wrk.lua"
    headers = {"content-type": "application/json", **endpoint.headers}
    lines = [f"wrk.headers[{quoted(name)}] = {quoted(value)}" for name, value in headers.items()]
    body = quoted(endpoint.body(padding=padding).decode())
    if credentials is not None:
        lines.append(ANOTHER_EACH_TIME.format(file=quoted(str(credentials))))
    script.write_text("\n".join(["wrk.method = 'POST'", f"wrk.body = {body}", *lines]))
    threads = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    return read(run(["wrk", *threads, "--timeout", "30s", "--latency", "-s", script, endpoint.url]))


def quoted(text: str) -> str:
    return f" [==[{text}]==] "  # the blanks: `[[` would begin another string


def read(output: str) -> Whole:
    requests = re.search(r"(\d+) requests in", output)
    per_second = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert requests is not None
    assert per_second is not None, output
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: (.*)", output)
    failed = int(refused[1]) if refused else 0
    failed += sum(int(number) for number in re.findall(r"\d+", broken[1])) if broken else 0
    return Whole(int(requests[1]), float(per_second[1]), percentile(output, 50), percentile(output, 99), failed)


def percentile(output: str, of: int) -> float:
    found = re.search(rf"^\s+{of}%\s+([\d.]+)(us|ms|s|m)", output, re.MULTILINE)
    return round(float(found[1]) * MILLISECONDS[found[2]], 3) if found else 0.0
