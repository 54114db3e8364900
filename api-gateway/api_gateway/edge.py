"""The outermost layer: where a request comes from, what every answer tells, and what is counted of both."""

import time
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from api_gateway.forwarded import locate
from api_gateway.metrics import METHODS, Metrics
from api_gateway.security_headers import SecurityHeaders
from api_gateway.upstreams import find_route
from shared.networks import Networks
from shared.outgoing import OUTGOING

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
        locate(scope, trusted=self._trusted)
        path, outgoing = scope["path"], scope[OUTGOING]
        outgoing.dressed = self._headers.for_path(path)
        failed = 0
        try:
            await self._app(scope, receive, send)
        except Exception:
            failed = 500  # the outermost handler will answer so
            raise
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            seconds = time.perf_counter() - started
            self._metrics.answered(_route_of(path), method, outgoing.status or failed, seconds)


@lru_cache(maxsize=1024)
def _route_of(path: str) -> str:
    found = find_route(path)
    return found.prefix if found else OWN
