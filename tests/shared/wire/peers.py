"""Raw servers that do what a script says."""

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.http.wire import Wire, render_head

Script = Callable[["Peer"], Awaitable[None]]
POST = render_head(b"POST", b"/v1/chat", [(b"host", b"provider")])
GET = render_head(b"GET", b"/v1/models", [(b"host", b"provider")])
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader, self.writer, self.number = reader, writer, number

    async def request(self) -> tuple[bytes, bytes]:
        """Head and body. Raises IncompleteReadError when the client has gone."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
            return head, body
        _, _, length = lower.partition(b"content-length: ")
        return head, await self.reader.readexactly(int(length.split(b"\r\n")[0] or 0))

    def say(self, *pieces: bytes) -> None:
        """Raises ConnectionError when the client has gone."""
        for piece in pieces:
            if self.writer.transport.is_closing():  # writing would be an error of uvloop's own
                raise ConnectionResetError
            self.writer.write(piece)

    async def gone(self) -> None:
        """Returns when the client has closed; whatever it still sends is read."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Ends the connection with RST."""
        import socket
        import struct

        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Server:
    def __init__(self, script: Script) -> None:
        self._script = script
        self.opened = 0
        self.peers: set[Peer] = set()
        self.all_gone = asyncio.Event()
        self.port = 0
        self.errors: list[BaseException] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, self.opened)
        self.opened += 1
        self.peers.add(peer)
        self.all_gone.clear()
        try:
            await self._script(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:
            self.errors.append(error)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            self.peers.discard(peer)
            if not self.peers:
                self.all_gone.set()


@contextlib.asynccontextmanager
async def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(script)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls, limit=2**20)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
        assert server.errors == [], repr(server.errors[0])
    finally:
        listener.close()
        for peer in list(server.peers):
            peer.writer.transport.abort()
        if server.peers:
            await server.all_gone.wait()
        await listener.wait_closed()


@contextlib.asynccontextmanager
async def wired(script: Script, **options: Any) -> AsyncIterator[tuple[Wire, Server]]:
    async with serving(script) as server:
        wire = Wire(f"http://127.0.0.1:{server.port}", **options)
        try:
            yield wire, server
        finally:
            wire.close()
            await asyncio.sleep(0)


def answering(*pieces: bytes) -> Script:
    """Each request on a connection gets these pieces, until the client goes."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            peer.say(*pieces)

    return script


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server at 127.0.0.1 and `localhost`, and for clients that trust it alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(folder / "both.pem")
    theirs.set_alpn_protocols(["h2", "http/1.1"])
    ours = ssl.create_default_context(cafile=str(folder / "both.pem"))
    ours.set_alpn_protocols(["http/1.1"])
    return theirs, ours
