"""A fast stand-in for an OpenAI-compatible provider that streams: `python -m benchmarks.compare.mock_provider`.

Arguments: port, chunks of a stream, seconds between them (0: one per turn of the event loop), bytes of text of each.
Without a size the text of a chunk is the moment at which it was sent, in nanoseconds of the machine's monotonic clock,
so that a client on the same machine can tell how long a gateway held it. Writes wait while the reader is slow.
"""

import asyncio
import socket
import sys
import time
from typing import cast

import uvloop

from benchmarks.compare.providers import ANSWER, MODELS, compact

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"\r\n\r\n"


def framed(data: bytes) -> bytes:
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def chunk(delta: str, finish: str = "null") -> bytes:
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
    head = '{"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o"'
    return framed(f'{head},"choices":[{choice}]}}'.encode())


FIRST = chunk('{"role":"assistant","content":""}')
USAGE = framed(
    b'{"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[],'
    b'"usage":{"prompt_tokens":19,"completion_tokens":25,"total_tokens":44}}'
)
LAST = chunk("{}", '"stop"') + USAGE + framed(b"[DONE]") + b"0\r\n\r\n"


def json_answer(value: object) -> bytes:
    body = compact(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


class Conversation(asyncio.Protocol):
    """One connection, kept alive; requests one after the other."""

    def __init__(self, chunks: int, interval: float, size: int) -> None:
        self._chunks = chunks
        self._interval = interval
        self._text = "x" * size
        self._received = b""
        self._loop = asyncio.get_running_loop()
        self._waiting: int | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._waiting is not None:
            number, self._waiting = self._waiting, None
            self._send(number)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (request := self._next_request()) is not None:
            head, body = request
            if head.startswith(b"get"):
                self._transport.write(json_answer(MODELS))
            elif b'"stream":true' in body or b'"stream": true' in body:
                self._transport.write(HEAD + FIRST)
                self._loop.call_soon(self._send, 0)
            else:
                self._transport.write(json_answer(ANSWER))

    def _next_request(self) -> tuple[bytes, bytes] | None:
        """Head in lower case and body, once both are here."""
        end = self._received.find(END)
        if end < 0:
            return None
        head = self._received[:end].lower()
        start = end + len(END)
        if b"transfer-encoding: chunked" in head:
            last = self._received.find(b"0\r\n\r\n", start)
            stop = last + 5 if last >= 0 else -1
        else:
            _, found, rest = head.partition(b"content-length:")
            stop = start + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
        if stop < 0 or len(self._received) < stop:
            return None
        body, self._received = self._received[start:stop], self._received[stop:]
        return head, body

    def _send(self, number: int) -> None:
        if self._transport.is_closing():
            return
        if self._paused:
            self._waiting = number
            return
        if number == self._chunks:
            self._transport.write(LAST)
            return
        self._transport.write(chunk(f'{{"content":"{self._text or f" {time.monotonic_ns()}"}"}}'))
        if self._interval:
            self._loop.call_later(self._interval, self._send, number + 1)
        else:
            self._loop.call_soon(self._send, number + 1)


async def serve(port: int, chunks: int, interval: float, size: int) -> None:
    def conversation() -> Conversation:
        return Conversation(chunks, interval, size)

    server = await asyncio.get_running_loop().create_server(conversation, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
