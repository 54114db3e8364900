"""A client that reads one byte a second of a stream of 100 MB: what the gateway keeps for it."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from benchmarks.compare.endpoint import Endpoint
from benchmarks.compare.processes import Group, resident_bytes
from benchmarks.compare.scenarios import Figures

CHUNK = 16_384
CHUNKS = 100_000_000 // CHUNK
SETTLED = 2.0
"""Seconds after the beginning at which the buffers of the sockets are full and memory is looked at first."""


def read_whole(endpoint: Endpoint) -> None:
    """One such stream, as fast as it comes."""
    last = b""
    with asked(endpoint) as client:
        while not last.endswith(b"0\r\n\r\n"):
            if not (piece := client.recv(1_000_000)):
                raise ConnectionError("the stream broke off")
            last = (last + piece)[-8:]


def read_slowly(endpoint: Endpoint, *, seconds: float) -> dict[str, Figures]:
    """MB resident by process: before, once the stream runs, at the end, and at the highest."""
    groups = {name: group for name, group in endpoint.groups.items() if name != "postgres"}
    before = resident(groups)
    with asked(endpoint) as client:
        if b" 200 " not in client.recv(15):
            raise ConnectionError("the stream was refused")
        time.sleep(SETTLED)
        running = resident(groups)
        highest = dict(running)
        for _ in range(round(seconds)):
            if not client.recv(1):
                raise ConnectionError("the stream ended")
            time.sleep(1)
            highest = {name: max(highest[name], now) for name, now in resident(groups).items()}
        after = resident(groups)
    return {
        name: {
            "before MB": before[name],
            "running MB": running[name],
            "at the end MB": after[name],
            "grew MB": round(after[name] - before[name], 1),
            "highest over before MB": round(highest[name] - before[name], 1),
        }
        for name in groups
    }


@contextmanager
def asked(endpoint: Endpoint) -> Iterator[socket.socket]:
    where = urlsplit(endpoint.url)
    body = endpoint.body(stream=True)
    lines = {"host": where.netloc, "content-type": "application/json", **endpoint.headers, "content-length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    assert where.hostname is not None
    assert where.port is not None
    with socket.create_connection((where.hostname, where.port), timeout=30) as client:
        client.sendall(f"POST {where.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        yield client


def resident(groups: dict[str, Group]) -> dict[str, float]:
    return {name: round(resident_bytes(group.members()) / 1e6, 1) for name, group in groups.items()}
