"""One HTTP/1.1 connection to a server (RFC 9112)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import AsyncExitStack, aclosing
from typing import Protocol

import httptools

from shared.http.wire_answer import MOST_WAITING, Headers, WireAnswer
from shared.http.wire_errors import BrokenOff, NotHttp, TooSlow, WireError, WrongLength

LARGEST_HEAD = 64 * 1024
"""Bytes of an answer's head, interim answers included, and of any other part that brings no body (trailers)."""
MOST_HEADERS = 128
JOINED = 64 * 1024
"""Up to so many bytes, a body is copied behind its head: one write is cheaper than two."""


class Pool(Protocol):
    """Whose connections they are."""

    def take_back(self, connection: "Connection", /) -> None: ...

    def forget(self, connection: "Connection", /) -> None: ...

    def slot_is_free(self) -> None: ...


class Connection(asyncio.Protocol):
    """A call at a time: `ask` writes it and gives the answer, which fills while it arrives."""

    __slots__ = (
        "_answer",
        "_ended",
        "_fed",
        "_head_only",
        "_headers",
        "_interim",
        "_keep_alive",
        "_parser",
        "_pool",
        "_pump",
        "_surplus",
        "_writable",
        "asked",
        "holds_slot",
        "idle_since",
        "loop",
        "reading_paused",
        "transport",
        "unwanted",
    )

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.holds_slot = True
        self.unwanted = False
        self.reading_paused = False
        self.idle_since = 0.0
        self.asked = 0
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._answer: WireAnswer | None = None
        self._headers: Headers = []
        self._fed = 0
        self._head_only = self._interim = self._ended = self._surplus = self._keep_alive = False
        self._pump: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def ask(self, head: bytes, body: bytes | None) -> tuple[WireAnswer, "asyncio.Future[None]"]:
        answer, started = self._expect(head)
        transport = self.transport
        assert transport is not None
        if body is None:
            transport.write(head + b"\r\n")
        elif len(body) <= JOINED:
            transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        else:
            transport.writelines((b"%bcontent-length: %d\r\n\r\n" % (head, len(body)), body))
        return answer, started

    def ask_piecewise(
        self,
        head: bytes,
        body: AsyncIterable[bytes],
        *,
        length: int | None,
        answer_timeout: float | None,
        write_timeout: float | None,
    ) -> tuple[WireAnswer, "asyncio.Future[None]"]:
        answer, started = self._expect(head)
        framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        assert self.transport is not None
        self.transport.write(b"%b%b\r\n\r\n" % (head, framing))
        self._pump = self.loop.create_task(self._send(answer, body, length, answer_timeout, write_timeout))
        return answer, started

    def _expect(self, head: bytes) -> tuple[WireAnswer, "asyncio.Future[None]"]:
        started = self.loop.create_future()
        answer = self._answer = WireAnswer(self, started)
        self.asked += 1
        self._fed = 0
        self._ended = self._surplus = False
        self._head_only = head.startswith(b"HEAD ")
        if self._headers:  # trailers of the answer before
            self._headers = []
        return answer, started

    async def _send(
        self,
        answer: WireAnswer,
        body: AsyncIterable[bytes],
        length: int | None,
        answer_timeout: float | None,
        write_timeout: float | None,
    ) -> None:
        try:
            await self._send_pieces(body, length, write_timeout)
        except Exception as error:  # the body is the caller's: what it raises is told where the answer is awaited
            self.fail(error)
        else:
            if answer_timeout is not None and self._answer is answer and answer.status == 0:
                answer.give_up_after(answer_timeout)
        finally:
            self._pump = None

    async def _send_pieces(self, body: AsyncIterable[bytes], length: int | None, write_timeout: float | None) -> None:
        assert self.transport is not None
        sent = 0
        async with AsyncExitStack() as stack:
            pieces = aiter(body)
            if isinstance(pieces, AsyncGenerator):
                await stack.enter_async_context(aclosing(pieces))
            async for piece in pieces:
                if not piece:
                    continue
                sent += len(piece)
                if length is None:
                    self.transport.writelines((b"%x\r\n" % len(piece), piece, b"\r\n"))
                elif sent > length:
                    raise WrongLength(f"The body has more than the {length} bytes that were announced.")
                else:
                    self.transport.write(piece)
                if self._writable is not None:
                    await self._drained(write_timeout)
        if length is None:
            self.transport.write(b"0\r\n\r\n")
        elif sent != length:
            raise WrongLength(f"The body has {sent} bytes, and {length} were announced.")

    async def _drained(self, timeout: float | None) -> None:
        assert self._writable is not None
        try:
            async with asyncio.timeout(timeout):
                await self._writable
        except TimeoutError:
            raise TooSlow(f"The server took nothing for {timeout} s.", sending=True) from None

    def resume_reading(self) -> None:
        if self.reading_paused:
            self.reading_paused = False
            assert self.transport is not None
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def abort(self) -> None:
        """Closes the socket at once; nobody is told."""
        self._answer = None
        self.unwanted = True
        self._stop_sending()
        if self.transport is not None:
            self.transport.abort()

    def fail(self, error: Exception) -> None:
        """Closes the socket at once; whoever waits for the answer is told."""
        answer = self._answer
        self.abort()
        if answer is not None and not answer.complete and answer.error is None:
            answer.error = error
            self._wake(answer)

    def _stop_sending(self) -> None:
        if self._pump is not None and self._pump is not asyncio.current_task(self.loop):
            self._pump.cancel()

    @staticmethod
    def _wake(answer: WireAnswer) -> None:
        waiter, answer.waiter = answer.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream's is a Transport
        if self.unwanted:
            transport.abort()  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nothing was asked
            self.abort()
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not answer.complete:
                self.fail(self._told(error))
                return
            self._surplus = True
        if answer.complete:
            self._finish()
        elif self._fed > LARGEST_HEAD:
            self.fail(NotHttp(f"The answer has more than {LARGEST_HEAD} bytes without content."))
        elif answer.waiting > MOST_WAITING and not self.reading_paused:
            self.reading_paused = True
            assert self.transport is not None
            self.transport.pause_reading()
        waiter = answer.waiter
        if waiter is not None and answer.status:
            answer.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _finish(self) -> None:
        self._answer = None
        if self.reading_paused:
            self.resume_reading()
        if self._head_only and not self._ended:  # the parser waits for the body that a HEAD's length speaks of
            self._parser = httptools.HttpResponseParser(self)
            self._ended = True
        assert self.transport is not None
        unread = self.transport.get_write_buffer_size()  # the next request would wait behind what is not taken
        if self._keep_alive and self._ended and not (self._surplus or unread or self._pump is not None):
            self._pool.take_back(self)
        else:
            self.abort()

    def eof_received(self) -> None:
        self._pool.forget(self)
        self._break_off(None)
        self.abort()  # else it would wait until the rest of a request is written

    def connection_lost(self, exc: Exception | None) -> None:
        self._break_off(exc)
        self.abort()
        self.resume_writing()
        self._pool.forget(self)
        if self.holds_slot:
            self.holds_slot = False
            self._pool.slot_is_free()

    def _break_off(self, exc: Exception | None) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if exc is None and answer.status and _ends_with_connection(answer.headers):
            answer.complete = True
        else:
            answer.error = BrokenOff(
                f"The server broke off: {exc}" if exc else "The server closed the connection before its answer ended.",
                after_headers=answer.status != 0,
                reused=self.asked > 1,
                reset=exc is not None,
            )
        self._wake(answer)

    def pause_writing(self) -> None:
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._ended:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None or answer.complete:
            return
        headers, self._headers = self._headers, []
        if len(headers) > MOST_HEADERS:
            raise NotHttp(f"The answer has more than {MOST_HEADERS} headers.")
        if self._fed > LARGEST_HEAD and sum(len(name) + len(value) for name, value in headers) > LARGEST_HEAD:
            raise NotHttp(f"The answer's head has more than {LARGEST_HEAD} bytes.")
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise NotHttp("The server switched to another protocol, unasked.")
            self._interim = True
            return
        answer.headers = headers
        answer.status = status
        if self._head_only:
            answer.complete = True
            self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        answer = self._answer
        if answer is None or answer.complete:
            self._surplus = True
            return
        self._fed = 0
        answer.pieces.append(piece)
        answer.waiting += len(piece)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        self._ended = True
        self._keep_alive = self._parser.should_keep_alive()
        if self._answer is not None:
            self._answer.complete = True

    def _told(self, error: Exception) -> Exception:
        told = error.__context__
        return told if isinstance(told, WireError) else NotHttp(f"The answer is not HTTP/1.1: {error}")


def _ends_with_connection(headers: Headers) -> bool:
    """RFC 9112 §6.3: neither a length nor chunks say where the body ends."""
    codings = b",".join(value for name, value in headers if name == b"transfer-encoding")
    if codings:
        return codings.rsplit(b",", 1)[-1].strip().lower() != b"chunked"
    return all(name != b"content-length" for name, _ in headers)
