"""What our server, an access line and a frame cost: `.venv/bin/python benchmarks/server_cost.py`. Not gating.

Processor time of the serving process, in microseconds. A client of this process sends and reads in batches, so the
figures compare with each other, not with those of a load generator.
"""

import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable
from multiprocessing.connection import Connection
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from shared.logs import configure_logs
from shared.request_id import RequestIdMiddleware
from shared.server import server
from shared.sse import EventStream

REQUESTS = 8_000
CONNECTIONS = 8
FRAMES = 20
FRAME = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'


async def trivial(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await trivial(scope, receive, send)
        return
    await receive()
    await EventStream(_frames(), on_error=lambda _: b"")(scope, receive, send)


async def bare_streaming(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await trivial(scope, receive, send)
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    async for frame in _frames():
        await send({"type": "http.response.body", "body": frame, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _frames() -> AsyncGenerator[bytes]:
    for _ in range(FRAMES):
        yield FRAME


def plain(app: Any, ready: Callable[[], None]) -> uvicorn.Server:
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, server_header=False)

    class Plain(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            ready()

    return Plain(config)


def serve(app: Any, ours: bool, pipe: Connection) -> None:
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 # for as long as the process lives
    configure_logs(level="info", style="json")

    def ready() -> None:
        pipe.send(serving.servers[0].sockets[0].getsockname()[1])
        asyncio.get_running_loop().add_reader(pipe.fileno(), tell)

    def tell() -> None:
        pipe.recv()
        pipe.send(time.process_time())

    serving = server(app, host="127.0.0.1", port=0, on_ready=ready) if ours else plain(app, ready)
    serving.run()


async def _asks(port: int, request: bytes, end: bytes, times: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(request)
        await reader.readuntil(end)
    writer.close()


def cost(app: Any, *, ours: bool, headers: int = 8, end: bytes = b"\r\n\r\nok", requests: int = REQUESTS) -> float:
    """Per request."""
    pipe, other = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(app, ours, other))
    process.start()
    try:
        port = pipe.recv()
        extra = b"".join(b"x-header-%d: some value of a header\r\n" % number for number in range(headers - 1))
        request = b"GET /v1/models HTTP/1.1\r\nhost: here\r\n" + extra + b"\r\n"

        async def load(times: int) -> None:
            await asyncio.gather(*(_asks(port, request, end, times // CONNECTIONS) for _ in range(CONNECTIONS)))

        def used() -> float:
            pipe.send(None)
            return float(pipe.recv())

        asyncio.run(load(requests // 8))
        before = used()
        asyncio.run(load(requests))
        return (used() - before) / requests * 1e6
    finally:
        process.terminate()
        process.join()


def main() -> None:
    for headers in (8, 20):
        for name, ours in (("uvicorn", False), ("ours", True)):
            print(f"answer, {headers} headers, {name}: {cost(trivial, ours=ours, headers=headers):.1f} us")
    with_line = cost(RequestIdMiddleware(trivial, service="bench"), ours=True)
    print(f"answer, 8 headers, ours, named and logged: {with_line:.1f} us")
    for name, app in (("sent bare", bare_streaming), ("EventStream", streaming)):
        each = cost(app, ours=True, end=b"0\r\n\r\n", requests=REQUESTS // 4)
        print(f"{FRAMES} frames, {name}: {each:.1f} us, {each / FRAMES:.2f} us a frame")


if __name__ == "__main__":
    main()
