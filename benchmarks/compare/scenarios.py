"""What every gateway is asked to do, one after the other, and what is told of it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.compare.endpoint import Endpoint
from benchmarks.compare.guard import check_stream, check_whole
from benchmarks.compare.processes import Watch, watching
from benchmarks.compare.providers import streams, whole_answers
from benchmarks.compare.streamed import streams_of
from benchmarks.compare.whole import whole_answers_of

Figures = dict[str, float | int | str]
RATES = ("requests/s", "streams/s")
"""The figure by which gateways are compared; each scenario has one of them."""
WARM_UP = 2.0


@dataclass(frozen=True)
class Seen:
    """By the clients: answers that were complete, and the figures of their latencies."""

    answers: int
    figures: Figures


class Scenario(Protocol):
    """A provider, a load over it, and a check that the answers are right before anything is measured."""

    @property
    def name(self) -> str: ...

    def provider(self, port: int, *, folder: Path) -> AbstractContextManager[None]: ...

    def check(self, endpoint: Endpoint) -> None: ...

    def load(self, endpoint: Endpoint, *, seconds: float, folder: Path) -> Seen: ...


@dataclass(frozen=True)
class WholeAnswers:
    """As many as the connections carry; each waits for its answer."""

    connections: int

    @property
    def name(self) -> str:
        return f"whole answers, {self.connections} connection{'s' if self.connections > 1 else ''}"

    def provider(self, port: int, *, folder: Path) -> AbstractContextManager[None]:
        return whole_answers(port, folder=folder)

    def check(self, endpoint: Endpoint) -> None:
        check_whole(endpoint)

    def load(self, endpoint: Endpoint, *, seconds: float, folder: Path) -> Seen:
        seen = whole_answers_of(endpoint, connections=self.connections, seconds=seconds, folder=folder)
        figures: Figures = {"requests/s": round(seen.per_second, 1), "p50 ms": seen.p50, "p99 ms": seen.p99}
        return Seen(seen.requests, {**figures, "failed": seen.failed})


@dataclass(frozen=True)
class Streams:
    """One after the other on every connection; `interval` is the seconds between chunks, 0 for none."""

    connections: int
    chunks: int
    interval: float = 0.0

    @property
    def name(self) -> str:
        pace = f", {self.interval * 1000:.0f} ms apart" if self.interval else " back to back"
        return f"streams, {self.connections} connections, {self.chunks} chunks{pace}"

    def provider(self, port: int, *, folder: Path) -> AbstractContextManager[None]:  # noqa: ARG002 # the seam's signature
        return streams(port, chunks=self.chunks, interval=self.interval)

    def check(self, endpoint: Endpoint) -> None:
        check_stream(endpoint, chunks=self.chunks)

    def load(self, endpoint: Endpoint, *, seconds: float, folder: Path) -> Seen:  # noqa: ARG002 # the seam's signature
        seen = streams_of(endpoint, connections=self.connections, seconds=seconds)
        figures: Figures = {"streams/s": seen.per_second, "first chunk p50 ms": seen.first_p50}
        delays: Figures = {"chunk delay p50 ms": seen.delay_p50, "chunk delay p99 ms": seen.delay_p99}
        told: Figures = {"failed": f"{seen.failed} ({seen.why})" if seen.failed else 0}
        return Seen(seen.streams, {**figures, **delays, **told})


SCENARIOS: Mapping[str, Sequence[Scenario]] = {
    "whole": (WholeAnswers(1), WholeAnswers(32)),
    "streams": (Streams(8, chunks=20), Streams(200, chunks=50, interval=0.02)),
}


def measure(scenario: Scenario, endpoint: Endpoint, *, provider_port: int, seconds: float, folder: Path) -> Figures:
    """Raises Wrong where the answers are not those of the provider."""
    with scenario.provider(provider_port, folder=folder):
        scenario.check(endpoint)
        scenario.load(endpoint, seconds=WARM_UP, folder=folder)
        with watching(endpoint.groups) as watch:
            seen = scenario.load(endpoint, seconds=seconds, folder=folder)
        scenario.check(endpoint)
    return {**seen.figures, **spent(watch, answers=seen.answers)}


def spent(watch: Watch, *, answers: int) -> Figures:
    """CPU of the gateway's processes for one answer, those apart that are told apart, and their highest memory."""
    figures: Figures = {}
    if answers:
        figures["CPU µs each"] = round(watch.cpu / answers * 1e6)
    peaks = {name: one.peak // 2**20 for name, one in watch.spent.items()}
    ours = {name: peak for name, peak in peaks.items() if name != "postgres"}
    if len(ours) > 1 and answers:
        figures["CPU µs by process"] = " + ".join(
            f"{watch.spent[name].cpu / answers * 1e6:.0f} {name}" for name in ours
        )
    if "postgres" in watch.spent and answers:
        figures["PostgreSQL CPU µs"] = round(watch.spent["postgres"].cpu / answers * 1e6)
    figures["peak MB"] = (
        " + ".join(f"{peak} {name}" for name, peak in ours.items()) if len(ours) > 1 else sum(ours.values())
    )
    return figures
