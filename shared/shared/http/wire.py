"""A pool of HTTP/1.1 connections to one server, for calls that are sent and read as bytes.

A call through it costs a few microseconds of CPU more than the sockets do. There are no redirects, cookies,
decompression or retries; `WireTransport` puts it beneath httpx2.
"""

import asyncio
import functools
import re
import ssl
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from urllib.parse import urlsplit

import httpx2

from shared.http.wire_answer import WireAnswer
from shared.http.wire_connection import Connection
from shared.http.wire_errors import ConnectFailed, ConnectTimedOut, PoolExhausted

HEAD = re.compile(rb"[!#-'*+\-.^-z|~0-9A-Z]+ [!-~]+ HTTP/1\.1\r\n(?:[!#-'*+\-.^-z|~0-9A-Z]+: [^\r\n\0]*\r\n)*")


def render_head(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """What `Wire` sends before the length. Raises ValueError where a part would end its line."""
    lines = [b"%b %b HTTP/1.1\r\n" % (method, target), *(b"%b: %b\r\n" % header for header in headers)]
    head = b"".join(lines)
    if HEAD.fullmatch(head) is None or head.count(b"\n") != len(lines):
        raise ValueError("A request's line or header has a character that it must not have.")
    return head


class Wire:
    """One origin, `http://host[:port]` or `https://…`; used in one event loop, from its first call to `close`.

    connections: open at a time; idle: kept for the next call, at most `idle_seconds`. For https, the server's
    certificate is verified as httpx2 does, unless an `ssl` context says otherwise.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connections: int = 2000,
        idle: int = 200,
        idle_seconds: float = 30,
        ssl: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("A wire leads to http://host or https://host.")
        self._tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._tls else 80)
        self._ssl = ssl
        self._most = connections
        self._most_idle = idle
        self._idle_seconds = idle_seconds
        self._taken = 0
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(
        self,
        head: bytes,
        body: bytes | None = None,
        *,
        connect_timeout: float | None,
        answer_timeout: float | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> WireAnswer:
        """Returns when the answer's head has arrived; nothing more is awaited if all of it came with it.

        head: the request line and the headers, each with its line's end, without a length (see `render_head`).
        body: None sends no length. Times are in seconds; `answer_timeout` runs from the moment of sending, in which
        `on_sent` is called.
        Raises WireError; cancelled, it breaks the connection off.
        """
        idle = self._idle
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():  # type: ignore[union-attr]  # it was connected
                break
        else:
            connection = await self._connection(connect_timeout)
        answer, started = connection.ask(head, body)
        if on_sent is not None:
            on_sent()
        if answer_timeout is not None:
            answer.give_up_after(answer_timeout)
        await answer.started(started)
        return answer

    async def send_stream(
        self,
        head: bytes,
        body: AsyncIterable[bytes],
        *,
        length: int | None,
        connect_timeout: float | None,
        answer_timeout: float | None = None,
        write_timeout: float | None = None,
    ) -> WireAnswer:
        """As `send`, with a body that is sent while the answer is read; without a length, it goes in chunks.

        `answer_timeout` runs from the body's end. What `body` raises is raised here, or by the answer's `read`.
        An answer that is complete before the body is ends the sending.
        """
        connection = await self._connection(connect_timeout)
        answer, started = connection.ask_piecewise(
            head, body, length=length, answer_timeout=answer_timeout, write_timeout=write_timeout
        )
        await answer.started(started)
        return answer

    def close(self) -> None:
        """Breaks everything off; calls under way raise BrokenOff or ConnectFailed."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        while self._waiters:
            self._wake(None)
        for connection in list(self._open):
            connection.fail(ConnectFailed("The wire was closed."))
        self._idle.clear()

    async def _connection(self, connect_timeout: float | None) -> Connection:
        connecting = False
        try:
            async with asyncio.timeout(connect_timeout):
                while not self._closed:
                    if self._idle:
                        connection: Connection | None = self._idle.pop()
                    elif self._taken < self._most:
                        self._taken += 1
                        connection = None
                    else:
                        connection = await self._turn()
                    if connection is None:
                        if self._closed:
                            break
                        connecting = True
                        return await self._connect()
                    if not connection.transport.is_closing():  # type: ignore[union-attr]  # it was connected
                        return connection
        except TimeoutError as error:
            if connecting:
                raise ConnectTimedOut(f"No connection to {self._host} within {connect_timeout} s.") from error
            raise PoolExhausted(f"All connections to {self._host} are busy.") from error
        raise ConnectFailed("The wire was closed.")

    async def _turn(self) -> Connection | None:
        """A connection that has become free, or None: the right to open one."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():  # it came too late: the next one's
                connection = waiter.result()
                if connection is None:
                    self.slot_is_free()
                elif not connection.transport.is_closing():  # type: ignore[union-attr]  # it was connected
                    self.take_back(connection)
            raise

    async def _connect(self) -> Connection:
        """Into a slot that the caller has taken."""
        loop = asyncio.get_running_loop()
        connection = Connection(self, loop)
        self._open.add(connection)
        try:
            context = (self._ssl or default_context()) if self._tls else None
            await loop.create_connection(
                lambda: connection,
                self._host,
                self._port,
                ssl=context,
                server_hostname=self._host if context else None,
            )
        except BaseException as error:
            self._open.discard(connection)
            connection.abort()
            if connection.holds_slot:  # uvloop does not tell a connection whose making was cancelled that it is lost
                connection.holds_slot = False
                self.slot_is_free()
            if isinstance(error, OSError | ValueError) and not isinstance(error, TimeoutError):
                raise ConnectFailed(f"No connection to {self._host}:{self._port}: {error}") from error
            raise
        if connection.unwanted:
            raise ConnectFailed(f"{self._host}:{self._port} closed the connection at once.")
        return connection

    # What a connection calls.

    def take_back(self, connection: Connection) -> None:
        """Its answer is complete and it stays open."""
        if self._waiters and self._wake(connection):
            return
        if self._closed or len(self._idle) >= self._most_idle:
            connection.abort()
            return
        connection.idle_since = connection.loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(self._idle_seconds, self._sweep)

    def forget(self, connection: Connection) -> None:
        """It is closed, or about to be."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def slot_is_free(self) -> None:
        if not self._wake(None):
            self._taken -= 1

    def _wake(self, connection: Connection | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _sweep(self) -> None:
        """Idle connections lie in the order in which they became idle."""
        self._sweeper = None
        idle = self._idle
        if not idle:
            return
        now = idle[0].loop.time()
        while idle and idle[0].idle_since + self._idle_seconds <= now:
            idle.pop(0).abort()
        if idle:
            left = idle[0].idle_since + self._idle_seconds - now
            self._sweeper = idle[0].loop.call_later(left, self._sweep)


@functools.cache
def default_context() -> ssl.SSLContext:
    """httpx2's (certifi's authorities, or those that SSL_CERT_FILE names): once, as it takes tens of milliseconds."""
    context = httpx2.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
