"""What one request to an upstream costs by transport, in one process: `python -m benchmarks.http_transports`.

The upstream is a process of its own that answers with bytes made beforehand. CPU is that of all threads of the
asking process. pyreqwest takes part where it is installed (`uv pip install pyreqwest`).
"""

import argparse
import asyncio
import contextlib
import importlib
import multiprocessing
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvloop

from shared.http.calls import LIMITS
from shared.http.wire import Wire, render_head
from shared.http.wire_transport import WireTransport

BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 900 + b'"}]}'
ANSWER = b'{"id":"1","choices":[{"message":{"role":"assistant","content":"' + b"y" * 900 + b'"}}]}'
CHUNK = b'data: {"choices":[{"delta":{"content":"yyyyyyyyyyyyyyyyyyyy"}}]}\n\n'
CHUNKS = 20
HEADERS = [
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer " + b"k" * 40),
    (b"accept", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
]

Ask = Callable[[str], Awaitable[int]]
"""Asks for a path, reads the answer to its end and returns its length."""


class Upstream(asyncio.Protocol):
    """Answers /whole in one write and /stream in twenty."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, received: bytes) -> None:
        self.received += received
        if not self.received.endswith(b'"}]}'):
            return
        streamed, self.received = b"/stream" in self.received[:20], b""
        if not streamed:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
            self.transport.write(head + ANSWER)
            return
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        self.step(CHUNKS)

    def step(self, left: int) -> None:
        if left == 0:
            self.transport.write(b"0\r\n\r\n")
            return
        self.transport.write(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
        asyncio.get_running_loop().call_soon(self.step, left - 1)


def serve(port: int) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(forever())


@asynccontextmanager
async def at_transport(transport: httpx2.AsyncBaseTransport, url: str) -> AsyncIterator[Ask]:
    """As the gateway's forwarding asks."""
    base = httpx2.URL(url)
    headers = [(b"host", base.netloc), *HEADERS]

    async def ask(path: str) -> int:
        to = base.copy_with(raw_path=path.encode())
        request = httpx2.Request("POST", to, headers=headers, content=BODY, extensions={"timeout": {"read": 30.0}})
        response = await transport.handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        try:
            return sum([len(piece) async for piece in response.stream])
        finally:
            await response.aclose()

    async with transport:
        yield ask


@asynccontextmanager
async def direct(url: str) -> AsyncIterator[Ask]:
    """As completions are asked for: the head is rendered once."""
    wire = Wire(url)
    heads = {
        path: render_head(b"POST", path.encode(), [(b"host", httpx2.URL(url).netloc), *HEADERS[:-1]])
        for path in ("/whole", "/stream")
    }

    async def ask(path: str) -> int:
        answer = await wire.send(heads[path], BODY, connect_timeout=5.0, answer_timeout=30.0)
        size = 0
        while piece := await answer.read():
            size += len(piece)
        return size

    try:
        yield ask
    finally:
        wire.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def pyreqwest_direct(url: str) -> AsyncIterator[Ask]:
    """Whoever wants it beside the others installs it; it is no dependency."""
    client_builder = importlib.import_module("pyreqwest.client").ClientBuilder
    headers = [(name.decode(), value.decode()) for name, value in HEADERS]
    builder = client_builder().no_proxy().follow_redirects(False).referer(False)
    builder = builder.gzip(False).brotli(False).zstd(False).deflate(False).http1_lower_case_headers()

    async def ask(path: str) -> int:
        request = client.post(url + path).headers(headers).body_bytes(BODY).streamed_read_buffer_limit(0)
        size = 0
        async with request.build_streamed() as response:
            read = response.body_reader.read_chunk
            while (piece := await read()) is not None:
                size += len(piece)
        return size

    async with builder.build() as client:
        yield ask


async def measured(ask: Ask, path: str, *, connections: int, seconds: float) -> tuple[float, float, float]:
    """Requests per second, CPU microseconds per request, median milliseconds."""
    times: list[float] = []
    expected = len(ANSWER) if path == "/whole" else CHUNKS * len(CHUNK)

    async def one(until: float) -> None:
        while (now := time.perf_counter()) < until:
            assert await ask(path) == expected
            times.append(time.perf_counter() - now)

    for duration in (seconds / 5, seconds):  # the first is to warm up
        times.clear()
        used, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        await asyncio.gather(*(one(began + duration) for _ in range(connections)))
        took, now = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return len(times) / took, 1e6 * cpu / len(times), 1e3 * sorted(times)[len(times) // 2]


async def compare(url: str, seconds: float) -> None:
    ways: dict[str, Any] = {
        "httpx2's own": lambda: at_transport(httpx2.AsyncHTTPTransport(limits=LIMITS, trust_env=False), url),
        "WireTransport": lambda: at_transport(WireTransport(), url),
        "Wire": lambda: direct(url),
    }
    with contextlib.suppress(ImportError):
        importlib.import_module("pyreqwest")

        ways["pyreqwest, direct"] = lambda: pyreqwest_direct(url)
    print("| transport | answer | connections | requests/s | CPU µs/request | p50 ms |\n|---|---|---|---|---|---|")
    for path, connections in (("/whole", 1), ("/whole", 32), ("/stream", 1), ("/stream", 32)):
        for name, way in ways.items():
            async with way() as ask:
                rate, cpu, median = await measured(ask, path, connections=connections, seconds=seconds)
            print(f"| {name} | {path[1:]} | {connections} | {rate:,.0f} | {cpu:.0f} | {median:.2f} |", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8590)
    arguments.add_argument("--seconds", type=float, default=3.0, help="for each row")
    given = arguments.parse_args()
    upstream = multiprocessing.get_context("spawn").Process(target=serve, args=(given.port,), daemon=True)
    upstream.start()
    time.sleep(1.0)
    try:
        uvloop.run(compare(f"http://127.0.0.1:{given.port}", given.seconds))
    finally:
        upstream.terminate()


if __name__ == "__main__":
    main()
