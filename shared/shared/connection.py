"""A connection that cannot be held open for nothing: uvicorn's protocol, with limits on size and on slowness.

uvicorn bounds how long a connection may idle between requests, and nothing else.
"""

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.cycle import Cycle, News
from shared.disconnect import ON_LEAVE, Leaving
from shared.errors import (
    DomainError,
    HeadersTooLarge,
    MalformedRequest,
    RequestTimeout,
    UriTooLong,
    error_response,
)
from shared.ids import new_id
from shared.refusals import COUNTER, Refusals
from shared.request_id import request_id_of


class Limits(NamedTuple):
    """What one connection may ask of us; sizes in bytes, times in seconds."""

    connections: int = 10_000
    target: int = 8192
    headers: int = 128
    head: int = 48 * 1024
    head_time: float = 10
    """From the first byte of a request, or from the connection, to the end of the request's head."""
    body_window: float = 20
    """In which `body_minimum` must arrive while we are willing to read."""
    body_minimum: int = 4096
    framing: int = 128 * 1024
    """What a body may cost beside its content (chunk extensions, trailers), and eight times its content."""
    unread_time: float = 120
    """For which a client may leave an answer lying."""
    linger_time: float = 1
    """For which what a refused client still sends is read, so that it gets to see the refusal."""


LIMITS = Limits()


class BoundedProtocol(HttpToolsProtocol):
    """Refuses with 400, 408, 414 or 431 and closes; a connection in the middle of an answer is only closed.

    `refusals` are told of each.
    """

    def __init__(self, *args: Any, refusals: Refusals, limits: Limits = LIMITS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._refusals = refusals
        self._timer: TimerHandle | None = None
        self._unread_timer: TimerHandle | None = None
        self._refusal: DomainError | None = None
        self._refused = False
        self._in_body = False
        self._idle_since = 0.0
        self._leaving = Leaving()
        self._extensions: dict[str, Any] = {ON_LEAVE: self._on_leave}
        self._head_bytes = 0  # of a head that is not complete: as they came, and as they were parsed
        self._header_bytes = 0
        self._trailers = 0
        self._raw_bytes = 0  # since the body began: as they came, its content, and how much of that was seen last
        self._body_bytes = 0
        self._body_seen = 0

    # The connection

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._tell("too_many_connections")
            transport.abort()
            return
        self._arm(self._limits.head_time, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        self.resume_writing()
        super().connection_lost(exc)
        self._leaving.happens()

    def _on_leave(self, callback: Callable[[], None]) -> Callable[[], None]:
        if self.flow.read_paused:
            self.flow.resume_reading()  # the end of a connection is noticed by reading it
        return self._leaving(callback)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._raw_bytes += len(data)
            if self._raw_bytes > 64 * self._limits.head:
                self.transport.abort()
            return
        self._raw_bytes += len(data)
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or MalformedRequest("This is not a request of HTTP/1.1."))
        except httptools.HttpParserUpgrade:  # it stays HTTP/1.1 (RFC 9110 §7.8), but the parser reads no further
            if self.cycle is not None:
                self.cycle.keep_alive = False
        else:
            if self._in_body or self._head_bytes:
                self._look_after()

    def _look_after(self) -> None:
        """What the parser does not see: how much of the request it is still waiting for."""
        limits = self._limits
        if self._in_body:
            if self._raw_bytes - self._body_bytes > limits.framing + 8 * self._body_bytes:
                self._refuse(MalformedRequest("The body costs more than it holds."))
            elif self._timer is None:
                self._body_seen = self._body_bytes
                self._arm(limits.body_window, self._body_is_late)
        elif self._head_bytes > limits.head:
            self._refuse(HeadersTooLarge(f"The headers may have at most {limits.head} bytes."))
        elif self._timer is None:
            self._arm(limits.head_time, self._head_is_late)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(self._limits.unread_time, self._answer_is_not_read)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    # The request, as the parser finds it

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item] # it is known once there is a connection
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "extensions": self._extensions,
        }
        self._head_bytes = max(self._head_bytes, 1)
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self._limits.target:
            self._fail(UriTooLong(f"The target may have at most {self._limits.target} bytes."))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer is no header: it must not pass for one (RFC 9110 §6.5.1)
            self._trailers += 1
            self._header_bytes += len(name) + len(value) + 4
            self._check_head(len(self.headers) + self._trailers)
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _check_head(self, count: int) -> None:
        if count > self._limits.headers or self._header_bytes > self._limits.head:
            self._fail(
                HeadersTooLarge(
                    f"There may be at most {self._limits.headers} headers of {self._limits.head} bytes together."
                )
            )

    def on_headers_complete(self) -> None:
        headers, parser, scope = self.headers, self.parser, self.scope
        if self._head_bytes > self._limits.head:  # of which some may be the body's
            self._header_bytes = sum([len(name) + len(value) + 4 for name, value in headers])
        if len(headers) > self._limits.headers or self._header_bytes:
            self._check_head(len(headers))
        version = parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._fail(MalformedRequest("This is neither HTTP/1.1 nor HTTP/1.0."))
        if problem := target_problem(self.url, headers):
            self._fail(MalformedRequest(problem))
        if self._timer is not None:
            self._disarm()
        self._in_body = True
        self._raw_bytes = self._body_bytes = self._head_bytes = self._trailers = 0
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"], scope["raw_path"], scope["query_string"] = _parts_of(self.url)
        self._begin(
            Cycle(
                scope=scope,
                transport=self.transport,
                flow=self.flow,
                logger=self.logger,
                access_logger=self.access_logger,
                access_log=False,
                default_headers=self.server_state.default_headers,
                message_event=News(),  # type: ignore[arg-type] # it does all that an Event has to do here
                expect_100_continue=self.expect_100_continue,
                keep_alive=version != "1.0" and parser.should_keep_alive(),
                on_response=self.on_response_complete,
            )
        )

    def _begin(self, cycle: Cycle) -> None:
        before, self.cycle = self.cycle, cycle
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._timer is not None:
            self._disarm()
        self._in_body = False
        self._head_bytes = self._header_bytes = 0
        if not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self.timeout_keep_alive_handler()

    def timeout_keep_alive_handler(self) -> None:
        """One timer looks after many requests: to set one after each, and to cancel it with the next, takes 2 µs."""
        self.timeout_keep_alive_task = None
        if self._is_answering() or self._head_bytes or self.transport.is_closing():
            return  # the end of the answer, or the timer of the head, looks after the connection
        rest = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if rest > 0:
            self.timeout_keep_alive_task = self.loop.call_later(rest, self.timeout_keep_alive_handler)
        else:
            self.transport.close()

    # What is too late, or refused

    def _head_is_late(self) -> None:
        self._timer = None
        if self._is_answering():
            self._arm(self._limits.head_time, self._head_is_late)
        elif self._head_bytes:
            self._refuse(RequestTimeout(f"The head of a request may take {self._limits.head_time:g} s."))
        else:
            self.transport.close()

    def _body_is_late(self) -> None:
        self._timer = None
        ours = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if ours or self._body_bytes - self._body_seen >= self._limits.body_minimum:
            self._body_seen = self._body_bytes
            self._arm(self._limits.body_window, self._body_is_late)
        else:
            self._refuse(RequestTimeout("The body of the request came too slowly."))

    def _answer_is_not_read(self) -> None:
        self._tell("answer_not_read", request_id=request_id_of(self.cycle.scope) if self._is_answering() else "")
        self.transport.abort()

    def _fail(self, refusal: DomainError) -> None:
        """Stops the parser, from inside it."""
        self._refusal = refusal
        raise refusal

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, error: DomainError) -> None:
        self._disarm()
        if self.transport.is_closing():
            return
        target = self.url if self.headers is not None else b""
        path = target.partition(b"?")[0][:256].decode("latin-1") or "/"
        known = request_id_of(self.cycle.scope) if self._is_answering() else ""
        scope = {"path": path, "synapscale.request_id": known or new_id("req")}
        unfit = self._is_answering() and (self.pipeline or self.cycle.response_started)
        self._tell(error.code, path=path, status=0 if unfit else error.status, request_id=request_id_of(scope))
        if unfit:
            self.transport.close()  # half an answer must not go on with another
            return
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._leaving.happens()
        self._refused = True
        self._raw_bytes = 0
        self.transport.write(_rendered(error_response(error, scope=scope)))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._arm(self._limits.linger_time, self.transport.close)

    def _tell(self, reason: str, **facts: str | int) -> None:
        client = self.client[0] if self.client else None
        self._refusals.tell(reason, count=self.app_state.get(COUNTER), client=client, **facts)

    def _arm(self, seconds: float, late: Any) -> None:
        self._timer = self.loop.call_later(seconds, late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@lru_cache(maxsize=256)
def _parts_of(target: bytes) -> tuple[str, bytes, bytes]:
    """Path, path as it came, and query."""
    parsed = httptools.parse_url(target)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


def target_problem(target: bytes, headers: list[tuple[bytes, bytes]]) -> str | None:
    """What is wrong with a request's target (RFC 9112 §3.2): all but origin-form leaves room for a second reading."""
    if not target.isascii() or b"#" in target:
        return "The target contains a fragment or a character that is not ASCII."
    if target.startswith(b"/") or target == b"*":
        return None
    scheme, separator, rest = target.partition(b"://")
    authority = rest.partition(b"/")[0].partition(b"?")[0].lower()
    hosts = [value.lower() for name, value in headers if name == b"host"]
    if separator and scheme.lower() in (b"http", b"https") and hosts == [authority]:
        return None
    return "The target names another host than the Host header."


def _rendered(response: Response) -> bytes:
    lines = [b"HTTP/1.1 %d \r\n" % response.status_code]
    lines += [b"%s: %s\r\n" % header for header in response.raw_headers]
    return b"".join([*lines, b"connection: close\r\n\r\n", bytes(response.body)])
