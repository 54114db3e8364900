"""No event waits for the next: not in a buffer of ours, and not in the kernel for an acknowledgement (Nagle)."""

import asyncio
import json
import os
import socket
import statistics
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from shared.server import server
from tests.llm_service.serving import SURFACES, asking, made
from tests.tokens import bearer

EVENTS = 40
NAGLES = 0.035
"""Seconds; Linux delays acknowledgements by 40 ms or more."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@contextmanager
def running(app: object) -> Iterator[int]:
    """The port of `app`, on the event loop that services have, which is not the tests'."""
    serving = server(app, host="127.0.0.1", port=0)  # type: ignore[arg-type] # any ASGI application
    thread = threading.Thread(target=serving.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not serving.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield serving.servers[0].sockets[0].getsockname()[1]
    finally:
        serving.should_exit = True
        serving.config.timeout_graceful_shutdown = 0
        thread.join()


class PacedProvider:
    """Says a word only when it is told to: `say()`."""

    def __init__(self) -> None:
        self.base_url = ""
        self._turns: asyncio.Queue[bytes] = asyncio.Queue()

    def say(self, word: str) -> None:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        self._put(json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}))

    def end(self) -> None:
        choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        self._put(json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}))
        self._put("[DONE]")
        self._turns.put_nowait(b"0\r\n\r\n")

    def _put(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self._turns.put_nowait(b"%x\r\n%s\r\n" % (len(event), event))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if asked.startswith(b"POST"):
            writer.write(HEAD)
            while not writer.is_closing():
                writer.write(turn := await self._turns.get())
                await writer.drain()
                if turn == b"0\r\n\r\n":
                    break
        writer.close()


@asynccontextmanager
async def paced() -> AsyncIterator[PacedProvider]:
    provider = PacedProvider()
    async with await asyncio.start_server(provider.answer, "127.0.0.1", 0) as listening:
        provider.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        yield provider


@asynccontextmanager
async def asked(port: int, surface: str) -> AsyncIterator[asyncio.StreamReader]:
    """What comes of a streamed question, as it comes from the socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(asking(stream=True)).encode()
    head = [f"POST {surface} HTTP/1.1", "host: x", f"authorization: {bearer()['authorization']}"]
    head += ["content-type: application/json", f"content-length: {len(body)}", "connection: close", "", ""]
    writer.write("\r\n".join(head).encode() + body)
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("surface", SURFACES)
async def test_every_event_leaves_alone_in_one_write_and_at_once(surface: str, tmp_path: Path) -> None:
    """The provider says a word when the one before has arrived: an event that waited for the next would wait for ever.
    With Nagle's algorithm on, each would wait some 40 ms for the client's acknowledgement."""
    took = []
    async with paced() as provider:
        row = {"type": "openai", "base_url": provider.base_url, "api_key": "k", "models": ["gpt-4o"]}
        with running(made(tmp_path, {"openai": row})) as port:
            async with asked(port, surface) as reader, asyncio.timeout(20):
                provider.say("first")
                while b"first" not in (await reader.read(65_536)):
                    pass
                for number in range(EVENTS):
                    said = time.perf_counter()
                    provider.say(f"word-{number}.")
                    received = await reader.read(65_536)
                    took.append(time.perf_counter() - said)
                    size, _, event = received.partition(b"\r\n")
                    assert len(event) == int(size, 16) + 2, "a whole chunk, and no more than that"
                    assert event.count(b"data: ") == 1
                    assert f"word-{number}.".encode() in event
                provider.end()
                await reader.read()
    assert statistics.median(took) < NAGLES


async def test_neither_clients_nor_providers_connections_wait_to_fill_a_packet(tmp_path: Path) -> None:
    """Read from the sockets themselves."""
    async with paced() as provider:
        row = {"type": "openai", "base_url": provider.base_url, "api_key": "k", "models": ["gpt-4o"]}
        with running(made(tmp_path, {"openai": row})) as port:
            async with asked(port, SURFACES[0]) as reader, asyncio.timeout(20):
                provider.say("first")
                while b"first" not in (await reader.read(65_536)):
                    pass
                theirs = urlsplit(provider.base_url).port
                of_clients = [fd for fd, ours, _ in connections() if ours == port]
                of_providers = [fd for fd, _, other in connections() if other == theirs]
                delays = {(fd in of_clients): no_delay(fd) for fd in of_clients + of_providers}
                provider.end()
                await reader.read()
    assert delays == {True: True, False: True}


def connections() -> list[tuple[int, int, int]]:
    """Of this process: the file, our port, the other's."""
    found = psutil.Process().net_connections(kind="tcp4")
    return [(one.fd, one.laddr.port, one.raddr.port) for one in found if one.raddr]


def no_delay(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as same:
        return bool(same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
