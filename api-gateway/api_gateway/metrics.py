"""What the gateway counts."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from api_gateway.rate_limit import Decision, RateLimiter
from shared.metrics import Histogram
from shared.refusals import REASONS

PREFIX = "synapscale_gateway"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics(Collector):
    """A registry for each app. Labels come from small closed sets, so that no client can make it grow.

    Requests are counted in plain numbers, which become metrics when somebody looks: a counter of the library takes a
    lock each time.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.authenticated = dict.fromkeys(("accepted", "refused", "unavailable"), 0)
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, Histogram] = {}
        self._decisions = {
            (name, outcome): 0
            for name in ("principal", "key", "address", "login")
            for outcome in ("admitted", "refused")
        }
        self._refusals = dict.fromkeys(REASONS, 0)
        self._limiter: RateLimiter | None = None

    def watch(self, limiter: RateLimiter) -> None:
        """Shows whether `limiter` counts for this gateway alone although it should not."""
        self._limiter = limiter

    def refused(self, reason: str) -> None:
        """`reason` is one of `shared.refusals.REASONS`."""
        self._refusals[reason] += 1

    def decided(self, decision: Decision) -> None:
        for limit, standing in zip(decision.limits, decision.standings, strict=True):
            self._decisions[limit.name, "refused" if standing.retry else "admitted"] += 1

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        key = (route, method, status // 100)
        self._requests[key] = self._requests.get(key, 0) + 1
        taken = self._seconds.get(route)
        if taken is None:
            taken = self._seconds[route] = Histogram(BUCKETS)
        taken.add(seconds)

    def collect(self) -> Iterator[Metric]:
        """For the library, when somebody looks."""
        requests = CounterMetricFamily(f"{PREFIX}_requests", "Requests answered", labels=["route", "method", "status"])
        for (route, method, hundreds), count in self._requests.items():
            requests.add_metric([route, method, f"{hundreds}xx" if hundreds else "none"], count)
        yield requests
        took = HistogramMetricFamily(
            f"{PREFIX}_request_seconds", "From the head of the request to the end of the answer", labels=["route"]
        )
        for route, taken in self._seconds.items():
            took.add_metric([route], taken.buckets(), taken.sum)
        yield took
        decisions = CounterMetricFamily(f"{PREFIX}_rate_limit_decisions", "By limit", labels=["limit", "outcome"])
        for labels, count in self._decisions.items():
            decisions.add_metric(labels, count)
        yield decisions
        yield _counter("authentications", "Credentials looked at", "outcome", self.authenticated)
        yield _counter(
            "connection_refusals",
            "Requests and connections refused before they reached a route",
            "reason",
            self._refusals,
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_rate_limit_fallback",
            "1 while Redis is away and limits are counted by this gateway alone",
            value=float(self._limiter is not None and self._limiter.problem is not None),
        )


def _counter(name: str, documentation: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{PREFIX}_{name}", documentation, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
