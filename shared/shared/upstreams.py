"""Where the other services answer: in another process, or in this one. The code that calls them cannot tell."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from shared.http.calls import LIMITS, Caller, HttpTransport, HttpxCaller, WireCaller
from shared.http.forward import forward
from shared.http.inprocess import InProcessTransport
from shared.http.wire_transport import WireTransport
from shared.networks import PEER
from shared.settings import ServiceSettings

CONNECT_TIMEOUT = 2.0


class Upstream(ABC):
    """A service to call: `client()` for typed calls, `forward()` for the gateway's bytes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._users = 0
        self._open = AsyncExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ready for calls inside. Several may be inside: the first one in starts it, the last one out ends it."""
        if self._users == 0:
            await self._open.enter_async_context(self._run())
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                await self._open.aclose()

    @abstractmethod
    def _run(self) -> AbstractAsyncContextManager[None]: ...

    @abstractmethod
    def client(self) -> httpx2.AsyncClient:
        """One pooled client for the life of the process. Read timeouts are the caller's to set."""

    @abstractmethod
    async def forward(self, scope: Scope, receive: Receive, send: Send, *, answer_timeout: float) -> None:
        """Passes one request on and its answer back, both as they come. Its headers are those that travel on; `scope`
        is the service's from then on, not the caller's.

        `answer_timeout` is in seconds, for the answer's head and then for each silence in its body.
        Raises Unavailable, GatewayTimeout or BadGateway.
        """


class HttpUpstream(Upstream):
    """A service in another process, over kept-alive HTTP/1.1 connections. No proxy is asked for the way."""

    def __init__(self, name: str, *, url: str, transport: HttpTransport = "asyncio") -> None:
        super().__init__(name)
        self.url = httpx2.URL(url)
        self._transport: HttpTransport = transport
        self._client: httpx2.AsyncClient | None = None
        self._caller: Caller | None = None

    def client(self) -> httpx2.AsyncClient:
        assert self._client is not None, "the upstream is not running"
        return self._client

    async def forward(self, scope: Scope, receive: Receive, send: Send, *, answer_timeout: float) -> None:
        assert self._caller is not None, "the upstream is not running"
        await forward(
            scope,
            receive,
            send,
            caller=self._caller,
            name=self.name,
            connect_timeout=CONNECT_TIMEOUT,
            answer_timeout=answer_timeout,
        )

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        ours = self._transport == "asyncio"
        self._client = httpx2.AsyncClient(
            transport=WireTransport() if ours else httpx2.AsyncHTTPTransport(limits=LIMITS, trust_env=False),
            base_url=self.url,
            timeout=httpx2.Timeout(30, connect=CONNECT_TIMEOUT),
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # answers are other people's
        )
        self._caller = WireCaller(str(self.url)) if ours else HttpxCaller(self._client)
        try:
            yield
        finally:
            await self._caller.close()
            await self._client.aclose()


class InProcessUpstream(Upstream):
    """A service in this process: its ASGI app is called with the caller's own receive and send."""

    def __init__(self, name: str, *, app: FastAPI) -> None:
        super().__init__(name)
        self.app = app
        self._state: Mapping[str, Any] = {}
        self._client: httpx2.AsyncClient | None = None

    def client(self) -> httpx2.AsyncClient:
        assert self._client is not None, "the upstream is not running"
        return self._client

    async def forward(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        answer_timeout: float,  # noqa: ARG002 # no network lies between: the service keeps its own deadlines
    ) -> None:
        scope["state"] = dict(self._state)
        scope.pop(PEER, None)  # the caller's own business
        await self.app(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "state": dict(self._state)}, receive, send)

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        async with self.app.router.lifespan_context(self.app) as state:
            self._state = state or {}
            self._client = httpx2.AsyncClient(
                transport=InProcessTransport(self._call), base_url=f"http://{self.name}", timeout=30
            )
            async with self._client:
                yield


class Upstreams:
    """The services that this one may call, by name."""

    def __init__(self, upstreams: Iterable[Upstream] = ()) -> None:
        self._by_name = {upstream.name: upstream for upstream in upstreams}

    @classmethod
    def from_settings(cls, settings: ServiceSettings) -> "Upstreams":
        addresses = {"auth": settings.auth_url, "llm": settings.llm_url, "chat": settings.chat_url}
        over = settings.http_transport
        return cls(HttpUpstream(name, url=url, transport=over) for name, url in addresses.items() if url)

    def __getitem__(self, name: str) -> Upstream:
        """Raises LookupError, naming the setting that is missing."""
        try:
            return self._by_name[name]
        except KeyError:
            raise LookupError(f"SYNAPSCALE_{name.upper()}_URL is not set, and {name} is not in this process") from None

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator["Upstreams"]:
        """Runs those of `names`, all where none is named."""
        async with AsyncExitStack() as stack:
            for name in names or self._by_name:
                await stack.enter_async_context(self[name].running())
            yield self
