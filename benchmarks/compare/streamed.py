"""Streams, by clients in a process of their own."""

import json
import subprocess
import sys

from benchmarks.compare.endpoint import Endpoint
from benchmarks.compare.stream_client import Streamed
from benchmarks.compare.tools import ROOT

LONGEST = 90.0
"""Seconds over the time of the load, in which the last streams end."""


def streams_of(endpoint: Endpoint, *, connections: int, seconds: float) -> Streamed:
    body = endpoint.body(stream=True).decode()
    asked = {"url": endpoint.url, "headers": dict(endpoint.headers), "body": body}
    done = subprocess.run(  # of our own
        [sys.executable, "-m", "benchmarks.compare.stream_client"],
        input=json.dumps({**asked, "connections": connections, "seconds": seconds}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + LONGEST,
    )
    return Streamed(**json.loads(done.stdout))
