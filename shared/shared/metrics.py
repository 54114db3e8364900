"""`GET /metrics` in Prometheus' text format, for those whom the operator lets look, and cheap histograms."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.utils import floatToGoString

from shared.errors import NotFound
from shared.networks import Networks, came_directly, peer_of

router = APIRouter(include_in_schema=False)


class Histogram:
    """Counts in plain numbers: a histogram of the library takes a lock each time."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the largest values of the buckets, ascending."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Each with all that are as large or smaller, as `HistogramMetricFamily` takes them."""
        return list(zip((*map(floatToGoString, self._bounds), "+Inf"), accumulate(self._counts), strict=True))


async def watcher(request: Request) -> None:
    """Lets only those pass who may look: a direct connection from a network in SYNAPSCALE_METRICS_FROM."""
    allowed: Networks = request.state.metrics_from
    if peer_of(request.scope) not in allowed or not came_directly(request.scope):
        raise NotFound


@router.get("/metrics")
async def read_metrics(request: Request, _: Annotated[None, Depends(watcher)]) -> Response:
    registry: CollectorRegistry = request.state.metrics.registry
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})
