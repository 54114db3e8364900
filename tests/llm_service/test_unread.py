"""A client that does not read on: its provider has to wait, and nothing piles up here."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.llm_service.serving import SURFACES, asking

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = {"index": 0, "delta": {"content": "x" * 16_384}, "finish_reason": None}
EVENT = b"data: %b\n\n" % json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [CHUNK]}).encode()
EVENTS = 2000
MEGABYTE = 1_000_000
IN_SOCKETS = 16 * MEGABYTE
"""What the kernel takes on the way, at most, at the four ends of two connections."""
PROGRAM = """
import sys
from pathlib import Path
from shared.server import server
from tests.llm_service.serving import made
from tests.tokens import bearer

def ready():
    print(serving.servers[0].sockets[0].getsockname()[1], bearer()["authorization"], flush=True)

row = {"type": "openai", "base_url": sys.argv[2], "api_key": "k", "models": ["gpt-4o"]}
serving = server(made(Path(sys.argv[1]), {"openai": row}), host="127.0.0.1", port=0, on_ready=ready)
serving.run()
"""


class Flood:
    """A provider in a thread, which says 33 MB as fast as they are taken: what it has sent is nowhere in memory."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.base_url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        self.sent = 0

    def serve(self) -> None:
        with suppress(OSError):  # the test closes the socket
            while True:
                peer, _ = self._listening.accept()
                with peer, suppress(OSError):
                    self._answer(peer)

    def _answer(self, peer: socket.socket) -> None:
        if not peer.recv(65536).startswith(b"POST"):
            return
        self.sent = 0
        peer.sendall(HEAD)
        chunk = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
        for _ in range(EVENTS):
            peer.sendall(chunk)
            self.sent += len(chunk)
        peer.sendall(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


@contextmanager
def flood() -> Iterator[Flood]:
    listening = socket.create_server(("127.0.0.1", 0))
    provider = Flood(listening)
    thread = threading.Thread(target=provider.serve)
    thread.start()
    try:
        yield provider
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@contextmanager
def service(directory: Path, provider: Flood) -> Iterator[tuple[psutil.Process, int, str]]:
    """In a process of its own, whose memory is nobody else's; its port, and what lets its clients in."""
    command = [sys.executable, "-c", PROGRAM, str(directory), provider.base_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            port, _, authorization = process.stdout.readline().decode().strip().partition(" ")
            yield psutil.Process(process.pid), int(port), authorization
        finally:
            process.terminate()


@contextmanager
def asked(port: int, authorization: str, surface: str) -> Iterator[socket.socket]:
    body = json.dumps(asking(stream=True)).encode()
    head = [f"POST {surface} HTTP/1.1", "host: x", f"authorization: {authorization}"]
    head += ["content-type: application/json", f"content-length: {len(body)}", "connection: close", "", ""]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)  # else the kernel lets it grow
        client.settimeout(20)
        client.connect(("127.0.0.1", port))
        client.sendall("\r\n".join(head).encode() + body)
        yield client


def take(client: socket.socket, size: float) -> int:
    """Reads at least so many bytes, or to the end."""
    taken = 0
    while taken < size and (piece := client.recv(MEGABYTE)):
        taken += len(piece)
    return taken


def stands_still(provider: Flood) -> None:
    seen, deadline = -1, time.monotonic() + 10
    while seen != provider.sent and time.monotonic() < deadline:
        seen = provider.sent
        time.sleep(0.3)


def settled(process: psutil.Process) -> int:
    """Bytes resident when a stream's accounts are closed, too."""
    seen, deadline = 0, time.monotonic() + 10
    while (now := process.memory_info().rss) > seen + 100_000 and time.monotonic() < deadline:
        seen = now
        time.sleep(0.7)
    return now


def test_a_reader_that_stops_midway_costs_no_memory(tmp_path: Path) -> None:
    with flood() as provider, service(tmp_path, provider) as (process, port, authorization):
        for surface in SURFACES:
            with asked(port, authorization, surface) as client:  # after this one, all that is made once has been made
                assert take(client, float("inf")) > EVENTS * 16_384
            before = settled(process)
            with asked(port, authorization, surface) as client:
                taken = 0
                for size in (2 * MEGABYTE, 8 * MEGABYTE):
                    taken += take(client, size)
                    stands_still(provider)
                    assert provider.sent < taken + IN_SOCKETS
                    assert process.memory_info().rss - before < 2 * MEGABYTE
