"""Keeps so many streamed completions open, and tells how late each chunk came: a process of its own for each load.

Reads one JSON object from standard input (url, headers, body, connections, seconds) and prints one: a `Streamed`.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

import uvloop

STAMP = re.compile(rb'"content": ?" (\d+)"')
LONGEST_SILENCE = 60.0
PAUSE = 0.05
"""Seconds after a failure."""


@dataclass
class Streamed:
    """Milliseconds, but for `seconds`. A delay is the time from the provider's sending to the client's receiving."""

    streams: int = 0
    chunks: int = 0
    seconds: float = 0.0
    per_second: float = 0.0
    first_p50: float = 0.0
    delay_p50: float = 0.0
    delay_p99: float = 0.0
    failed: int = 0
    why: str = ""


@dataclass
class Load:
    """What every connection asks, and what all of them have seen, in nanoseconds."""

    url: str
    headers: dict[str, str]
    body: str
    connections: int
    seconds: float
    delays: list[int] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    failed: int = 0
    why: str = ""

    def request(self) -> bytes:
        where = urlsplit(self.url)
        body = self.body.encode()
        lines = {"host": where.netloc, "content-type": "application/json", **self.headers, "content-length": len(body)}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST {where.path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Broken(Exception):
    """An answer that is no complete stream."""


async def one_stream(load: Load, reader: asyncio.StreamReader) -> bool:
    """Whether the connection can be used again. Raises Broken."""
    started = time.monotonic_ns()
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise Broken(head.split(b"\r\n", 1)[0].decode())
    chunked = b"transfer-encoding: chunked" in head.lower()
    tail, first, done = b"", 0, False
    while read := await reader.read(65_536):
        now = time.monotonic_ns()
        tail += read
        used = 0
        for stamp in STAMP.finditer(tail):
            first = first or now
            load.delays.append(now - int(stamp[1]))
            used = stamp.end()
        done = done or b"[DONE]" in tail
        if chunked and tail.endswith(b"0\r\n\r\n"):
            break
        tail = tail[max(used, len(tail) - 512) :]
    else:
        if chunked:
            raise Broken("closed before its end")
    if not first or not done:
        raise Broken("no content" if not first else "no end")
    load.firsts.append(first - started)
    return chunked


async def one_client(load: Load, until: float) -> None:
    where, request = urlsplit(load.url), load.request()
    writer: asyncio.StreamWriter | None = None
    while time.monotonic() < until:
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write(request)
            async with asyncio.timeout(LONGEST_SILENCE):
                stays_open = await one_stream(load, reader)
        except (OSError, Broken, asyncio.IncompleteReadError) as error:
            load.failed += 1
            load.why = f"{type(error).__name__}: {error}"[:120]
            stays_open = False
            await asyncio.sleep(PAUSE)
        if not stays_open and writer is not None:
            writer.close()
            writer = None


def milliseconds(values: list[int], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6, 2) if ordered else 0.0


async def measure(load: Load) -> Streamed:
    started = time.monotonic()
    await asyncio.gather(*(one_client(load, started + load.seconds) for _ in range(load.connections)))
    took = time.monotonic() - started
    return Streamed(
        streams=len(load.firsts),
        chunks=len(load.delays),
        seconds=round(took, 2),
        per_second=round(len(load.firsts) / took, 1),
        first_p50=milliseconds(load.firsts, 0.5),
        delay_p50=milliseconds(load.delays, 0.5),
        delay_p99=milliseconds(load.delays, 0.99),
        failed=load.failed,
        why=load.why,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(measure(Load(**json.load(sys.stdin)))))))
