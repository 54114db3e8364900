"""The outermost layer: where a request comes from, what every answer tells, and what is counted of both."""

import time
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_gateway.forwarded import locate
from api_gateway.metrics import METHODS, Metrics
from api_gateway.security_headers import SecurityHeaders
from api_gateway.upstreams import find_route
from shared.networks import Networks

OWN = "gateway"
"""The route of what no service answers: our own pages, and paths that lead nowhere."""


class Edge:
    """Counts every request by what became of it; status 0 is a client that left before its answer began."""

    def __init__(self, app: ASGIApp, *, trusted: Networks, headers: SecurityHeaders, metrics: Metrics) -> None:
        self._app = app
        self._trusted = trusted
        self._headers = headers
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0
        locate(scope, trusted=self._trusted)
        path = scope["path"]

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._headers.added_to(message.get("headers", ()), path=path)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except Exception:
            status = status or 500  # the outermost handler will answer so
            raise
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.answered(_route_of(path), method, status, time.perf_counter() - started)


@lru_cache(maxsize=1024)
def _route_of(path: str) -> str:
    found = find_route(path)
    return found.prefix if found else OWN
