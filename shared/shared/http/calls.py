"""Calls to another origin as bytes: what is sent is prepared once, and what comes back is handed on as it comes."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from shared import __version__
from shared.http.wire import Wire, render_head
from shared.http.wire_answer import Headers, WireAnswer
from shared.http.wire_errors import ConnectFailed, ConnectTimedOut, PoolExhausted, WireError
from shared.http.wire_errors import TooSlow as WireTooSlow

HttpTransport = Literal["asyncio", "httpx2"]
"""Our own connections on the event loop's sockets, or httpx2's."""

LIMITS = httpx2.Limits(max_connections=2000, max_keepalive_connections=200, keepalive_expiry=30)
ALWAYS = (
    (b"accept", b"*/*"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"synapscale/" + __version__.encode()),
)
"""Bytes are handed on as they come, so they must not be compressed."""


class Unreachable(Exception):
    """No connection came about, or none was free in time."""


class BrokenOff(Exception):
    """The connection ended, or spoke no HTTP, before the answer was complete."""


class TooSlow(Exception):
    """The other side was silent, or took nothing of the request, for longer than it may."""


class Unsendable(Exception):
    """The request has a character where none of its kind may be; nothing was sent."""


class Onward(NamedTuple):
    """A request as it was received, but for the headers of its connection: `host`, and what frames its body.

    `length` is the body's in bytes; a body of pieces without one is sent in chunks.
    """

    method: str
    target: bytes
    headers: Headers
    body: bytes | AsyncIterable[bytes] | None
    length: int | None


class Reply(ABC):
    """An answer whose head has come."""

    status: int
    headers: Headers
    """Names in small letters."""
    ended: bool = False
    """Whether it is certain that nothing comes any more."""

    def header(self, name: bytes) -> bytes:
        """The first of that name; empty where there is none."""
        return next((value for each, value in self.headers if each == name), b"")

    @abstractmethod
    async def read(self) -> bytes:
        """The next piece of the body as it arrived; empty at its end. Raises BrokenOff, TooSlow."""

    @abstractmethod
    async def close(self) -> None:
        """Frees the connection where the answer is complete, and breaks it off where it is not."""


class Caller(ABC):
    """One origin, and the connections to it, for the life of the process."""

    @abstractmethod
    def prepare(self, path: str, headers: Mapping[str, str]) -> Any:
        """What all requests to `path` (below the base URL) with these headers have in common, for `post`.

        Raises ValueError for what no header may hold.
        """

    @abstractmethod
    async def post(self, prepared: Any, body: bytes, *, connect_timeout: float, on_sent: Callable[[], None]) -> Reply:
        """Returns when the answer's head is there, however long that takes. Raises Unreachable, BrokenOff.

        `connect_timeout` in seconds, also for a free connection. `on_sent` is called when the whole request is on its
        way.
        """

    @abstractmethod
    async def pass_on(self, onward: Onward, *, connect_timeout: float, answer_timeout: float) -> Reply:
        """Returns when the answer's head is there. Raises Unreachable, BrokenOff, TooSlow, Unsendable, and what the
        body raises; these may come from the reply's `read`, too.

        Seconds: `answer_timeout` for the head, and for each silence after it.
        """

    @abstractmethod
    async def close(self) -> None: ...


def caller(base_url: str, *, transport: HttpTransport, client: Callable[[], httpx2.AsyncClient]) -> Caller:
    """Over the transport that is wanted; where the environment names a proxy for that origin, over `client`, which
    knows proxies."""
    parts = urlsplit(base_url)
    proxies = getproxies()
    proxied = (parts.scheme in proxies or "all" in proxies) and not proxy_bypass(parts.hostname or "")
    return HttpxCaller(client()) if proxied or transport == "httpx2" else WireCaller(base_url)


class WireCaller(Caller):
    """Over our own connections."""

    def __init__(self, base_url: str) -> None:
        url = httpx2.URL(base_url)
        self._path = url.raw_path.rstrip(b"/") + b"/"
        self._host = (b"host", url.netloc)
        self._wire = Wire(base_url)

    def prepare(self, path: str, headers: Mapping[str, str]) -> bytes:
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        return render_head(b"POST", self._path + path.encode("ascii"), [self._host, *ALWAYS, *lines])

    async def post(self, prepared: bytes, body: bytes, *, connect_timeout: float, on_sent: Callable[[], None]) -> Reply:
        try:
            answer = await self._wire.send(prepared, body, connect_timeout=connect_timeout, on_sent=on_sent)
        except WireError as error:
            raise _told(error) from error
        return _WireReply(answer)

    async def pass_on(self, onward: Onward, *, connect_timeout: float, answer_timeout: float) -> Reply:
        method, target, headers, body, length = onward
        try:
            head = render_head(method.encode("latin-1"), target, [self._host, *headers])
        except ValueError as error:
            raise Unsendable(str(error)) from error
        try:
            if body is None or isinstance(body, bytes):
                answer = await self._wire.send(
                    head, body, connect_timeout=connect_timeout, answer_timeout=answer_timeout
                )
            else:
                answer = await self._wire.send_stream(
                    head,
                    body,
                    length=length,
                    connect_timeout=connect_timeout,
                    answer_timeout=answer_timeout,
                    write_timeout=answer_timeout,
                )
        except WireError as error:
            raise _told(error) from error
        return _WireReply(answer, answer_timeout)

    async def close(self) -> None:
        self._wire.close()


class _WireReply(Reply):
    def __init__(self, answer: WireAnswer, timeout: float | None = None) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer
        self._timeout = timeout

    @property
    def ended(self) -> bool:  # type: ignore[override]  # it changes as pieces are read
        answer = self._answer
        return answer.complete and not answer.pieces

    async def read(self) -> bytes:
        try:
            return await self._answer.read(self._timeout)
        except WireError as error:
            raise _told(error) from error

    async def close(self) -> None:
        self._answer.close()


def _told(error: WireError) -> Exception:
    match error:
        case ConnectFailed() | ConnectTimedOut() | PoolExhausted():
            return Unreachable(str(error))
        case WireTooSlow():
            return TooSlow(str(error))
        case _:
            return BrokenOff(str(error))


class HttpxCaller(Caller):
    """Over httpx2, which knows proxies (HTTPS_PROXY and the like)."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    def prepare(self, path: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        return path, headers

    async def post(
        self,
        prepared: tuple[str, Mapping[str, str]],
        body: bytes,
        *,
        connect_timeout: float,
        on_sent: Callable[[], None],
    ) -> Reply:
        path, headers = prepared
        headers = {"content-length": str(len(body)), **headers}  # a body in pieces would be sent chunked otherwise
        timeout = httpx2.Timeout(None, connect=connect_timeout, pool=connect_timeout)
        content = _and_then(body, on_sent)
        request = self._client.build_request("POST", path, content=content, headers=headers, timeout=timeout)
        return await self._send(request, decoded=True)

    async def pass_on(self, onward: Onward, *, connect_timeout: float, answer_timeout: float) -> Reply:
        method, target, headers, body, length = onward
        url = self._client.base_url.copy_with(raw_path=target)
        framing = [(b"content-length", b"%d" % length)] if length is not None else []
        if body is not None and length is None:
            framing = [(b"transfer-encoding", b"chunked")]
        timeout = httpx2.Timeout(answer_timeout, connect=connect_timeout, pool=connect_timeout)
        request = httpx2.Request(
            method,
            url,
            headers=[(b"host", url.netloc), *headers, *framing],
            stream=httpx2.ByteStream(body or b"") if body is None or isinstance(body, bytes) else _Body(body),
            extensions={"timeout": timeout.as_dict()},
        )
        return await self._send(request, decoded=False)

    async def _send(self, request: httpx2.Request, *, decoded: bool) -> Reply:
        try:
            response = await self._client.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise _told_by_httpx2(error) from error
        return _HttpxReply(response, decoded=decoded)

    async def close(self) -> None:
        await self._client.aclose()


class _HttpxReply(Reply):
    def __init__(self, response: httpx2.Response, *, decoded: bool) -> None:
        self.status = response.status_code
        self.headers = [(name.lower(), value) for name, value in response.headers.raw]
        self._response = response
        self._pieces = response.aiter_bytes() if decoded else response.aiter_raw()

    async def read(self) -> bytes:
        try:
            return await anext(self._pieces, b"")
        except httpx2.HTTPError as error:
            raise _told_by_httpx2(error) from error

    async def close(self) -> None:
        await self._response.aclose()


def _told_by_httpx2(error: httpx2.HTTPError) -> Exception:
    match error:
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return Unreachable(str(error))
        case httpx2.TimeoutException():
            return TooSlow(str(error))
        case httpx2.LocalProtocolError():
            return Unsendable(str(error))
        case _:
            return BrokenOff(str(error))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._pieces)


async def _and_then(body: bytes, on_sent: Callable[[], None]) -> AsyncIterator[bytes]:
    """It is taken up again when the connection has taken the body."""
    yield body
    on_sent()
