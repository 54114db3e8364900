"""The gateway's socket, spoken to byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2


class Line:
    """A connection to the gateway, without a client library."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))
        await self.writer.drain()

    async def everything(self) -> bytes:
        """What comes until the gateway closes."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status_line, *lines = head.decode("latin-1").split("\r\n")
            headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(status_line.split()[1]), headers, body


@asynccontextmanager
async def connected(client: httpx2.AsyncClient) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


def head(
    client: httpx2.AsyncClient, target: bytes = b"/api/llm/mirror", *headers: bytes, method: bytes = b"GET"
) -> bytes:
    credential = b"authorization: " + client.headers["authorization"].encode()
    lines = [method + b" " + target + b" HTTP/1.1", b"host: gateway", credential, *headers]
    return b"\r\n".join([*lines, b"", b""])


async def status_of(client: httpx2.AsyncClient, request: bytes) -> int:
    """Of the first answer; 0 where the gateway only closes."""
    async with connected(client) as line:
        await line.say(request)
        async with asyncio.timeout(5):
            first = await line.reader.readline()
    return int(first.split()[1]) if first else 0
