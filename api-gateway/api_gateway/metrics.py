"""What the gateway counts, and `GET /metrics`, where it tells."""

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_gateway.forwarded import PEER, Networks, came_directly
from api_gateway.rate_limit import Decision, RateLimiter
from api_gateway.upstreams import find_route
from shared.errors import NotFound
from shared.refusals import REASONS

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OWN = "gateway"
"""The route of what no service answers: our own pages, and paths that lead nowhere."""
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

router = APIRouter(include_in_schema=False)


class Metrics:
    """A registry for each app. Labels come from small closed sets, so that no client can make it grow."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "synapscale_gateway_requests",
            "Requests answered",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "synapscale_gateway_request_seconds",
            "From the head of the request to the end of the answer",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        decisions = Counter(
            "synapscale_gateway_rate_limit_decisions", "By limit", ["limit", "outcome"], registry=self.registry
        )
        self._decisions = {
            (name, outcome): decisions.labels(name, outcome)
            for name in ("principal", "key", "address", "login")
            for outcome in ("admitted", "refused")
        }
        self.authenticated = self._counters(
            "authentications", "Credentials looked at", outcome=("accepted", "refused", "unavailable")
        )
        self._refusals = self._counters(
            "connection_refusals", "Requests and connections refused before they reached a route", reason=REASONS
        )
        self._fallback = Gauge(
            "synapscale_gateway_rate_limit_fallback",
            "1 while Redis is away and limits are counted by this gateway alone",
            registry=self.registry,
        )
        self._requests_of: dict[tuple[str, str, int], Counter] = {}
        self._seconds_of: dict[str, Histogram] = {}

    def _counters(self, name: str, documentation: str, **label: Sequence[str]) -> dict[str, Counter]:
        """One for each value of the one label, shown from the start."""
        ((label_name, values),) = label.items()
        counter = Counter(f"synapscale_gateway_{name}", documentation, [label_name], registry=self.registry)
        return {value: counter.labels(value) for value in values}

    def watch(self, limiter: RateLimiter) -> None:
        """Shows whether `limiter` counts for this gateway alone although it should not."""
        self._fallback.set_function(lambda: float(limiter.problem is not None))

    def refused(self, reason: str) -> None:
        """`reason` is one of `shared.refusals.REASONS`."""
        self._refusals[reason].inc()

    def decided(self, decision: Decision) -> None:
        for limit, standing in zip(decision.limits, decision.standings, strict=True):
            self._decisions[limit.name, "refused" if standing.retry else "admitted"].inc()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        key = (route, method, status // 100)
        counter = self._requests_of.get(key)
        if counter is None:
            label = f"{status // 100}xx" if status else "none"
            counter = self._requests_of[key] = self._requests.labels(route, method, label)
        counter.inc()
        histogram = self._seconds_of.get(route)
        if histogram is None:
            histogram = self._seconds_of[route] = self._seconds.labels(route)
        histogram.observe(seconds)


class MetricsMiddleware:
    """Counts every request by what became of it; status `none` is a client that left before its answer began."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        except Exception:
            status = status or 500  # the outermost handler will answer so
            raise
        finally:
            found = find_route(scope["path"])
            route = found.prefix if found else OWN
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.answered(route, method, status, time.perf_counter() - started)


async def watcher(request: Request) -> None:
    """Lets only those pass who may look: a direct connection from a network in SYNAPSCALE_METRICS_FROM."""
    allowed: Networks = request.state.metrics_from
    if request.scope.get(PEER, "") not in allowed or not came_directly(request.scope):
        raise NotFound


@router.get("/metrics")
async def read_metrics(request: Request, _: Annotated[None, Depends(watcher)]) -> Response:
    metrics: Metrics = request.state.metrics
    return Response(generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})
