"""Calls to another origin as bytes: what is sent is prepared once, and what comes back is handed on as it comes."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from shared import __version__
from shared.http.wire import Wire, render_head
from shared.http.wire_answer import WireAnswer
from shared.http.wire_errors import ConnectFailed, ConnectTimedOut, PoolExhausted, WireError

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


class Reply(ABC):
    """An answer whose head has come."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Names in small letters."""

    def header(self, name: bytes) -> bytes:
        """The first of that name; empty where there is none."""
        return next((value for each, value in self.headers if each == name), b"")

    @abstractmethod
    async def read(self) -> bytes:
        """The next piece of the body as it arrived; empty at its end. Raises BrokenOff."""

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
    async def close(self) -> None: ...


def caller(base_url: str, *, client: Callable[[], httpx2.AsyncClient]) -> Caller:
    """The quick one, unless the environment names a proxy for that origin: `client` makes one that knows proxies."""
    parts = urlsplit(base_url)
    proxies = getproxies()
    if (parts.scheme in proxies or "all" in proxies) and not proxy_bypass(parts.hostname or ""):
        return HttpxCaller(client())
    return WireCaller(base_url)


class WireCaller(Caller):
    """Over our own connections."""

    def __init__(self, base_url: str) -> None:
        url = httpx2.URL(base_url)
        self._path = url.raw_path.rstrip(b"/") + b"/"
        self._host = url.netloc
        self._wire = Wire(base_url)

    def prepare(self, path: str, headers: Mapping[str, str]) -> bytes:
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        return render_head(b"POST", self._path + path.encode("ascii"), [(b"host", self._host), *ALWAYS, *lines])

    async def post(self, prepared: bytes, body: bytes, *, connect_timeout: float, on_sent: Callable[[], None]) -> Reply:
        try:
            return _WireReply(await self._wire.send(prepared, body, connect_timeout=connect_timeout, on_sent=on_sent))
        except (ConnectFailed, ConnectTimedOut, PoolExhausted) as error:
            raise Unreachable from error
        except WireError as error:
            raise BrokenOff from error

    async def close(self) -> None:
        self._wire.close()


class _WireReply(Reply):
    def __init__(self, answer: WireAnswer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer

    async def read(self) -> bytes:
        try:
            return await self._answer.read()
        except WireError as error:
            raise BrokenOff from error

    async def close(self) -> None:
        self._answer.close()


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
        content = _told(body, on_sent)
        request = self._client.build_request("POST", path, content=content, headers=headers, timeout=timeout)
        try:
            return _HttpxReply(await self._client.send(request, stream=True))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise Unreachable from error
        except httpx2.HTTPError as error:
            raise BrokenOff from error

    async def close(self) -> None:
        await self._client.aclose()


class _HttpxReply(Reply):
    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.headers = [(name.lower(), value) for name, value in response.headers.raw]
        self._response = response
        self._pieces = response.aiter_bytes()

    async def read(self) -> bytes:
        try:
            return await anext(self._pieces, b"")
        except httpx2.HTTPError as error:
            raise BrokenOff from error

    async def close(self) -> None:
        await self._response.aclose()


async def _told(body: bytes, on_sent: Callable[[], None]) -> AsyncIterator[bytes]:
    """It is taken up again when the connection has taken the body."""
    yield body
    on_sent()
