"""What llm-service counts: requests and attempts once each, when they end; all else when somebody looks."""

from collections.abc import Callable, Iterator

import msgspec
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from llm_service.catalogue.service import Catalogue
from llm_service.ledger.records import TOKEN_KINDS, AttemptRecord, RequestRecord
from llm_service.ledger.writer import Ledger
from llm_service.routing.observed import Observed
from shared.metrics import Histogram

PREFIX = "synapscale_llm"
OTHER = ("other", "other")
NOBODY = ("none", "none")
"""Instead of provider and model, where nobody answered."""
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68)
"""Buckets by https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/, and two more for long answers."""
TOKENS = tuple(4**power for power in range(14))
TARGET = ["gen_ai_provider_name", "gen_ai_request_model"]
STATES = {"closed": 0, "half_open": 1, "open": 2}


class _Counted:
    """Of one target."""

    __slots__ = ("attempts", "cost_usd", "first_token", "heard", "requests", "said", "seconds", "tokens", "unpriced")

    def __init__(self) -> None:
        self.requests: dict[str, int] = {}
        self.attempts: dict[tuple[str, str], int] = {}
        self.seconds, self.first_token = Histogram(SECONDS), Histogram(SECONDS)
        self.heard, self.said = Histogram(TOKENS), Histogram(TOKENS)
        self.tokens = [0] * len(TOKEN_KINDS)
        self.cost_usd = 0.0
        self.unpriced = 0

    def add(self, attempt: AttemptRecord) -> None:
        key = (attempt.result, attempt.error or "")
        self.attempts[key] = self.attempts.get(key, 0) + 1
        if attempt.result == "skipped":
            return
        self.seconds.add(attempt.total_ms / 1000)
        if attempt.first_content_ms is not None:
            self.first_token.add(attempt.first_content_ms / 1000)
        if attempt.cost_usd is None:
            self.unpriced += 1
        else:
            self.cost_usd += float(attempt.cost_usd)
        usage = attempt.usage
        if usage.input_tokens or usage.output_tokens:
            self.heard.add(usage.input_tokens)
            self.said.add(usage.output_tokens)
            for number, tokens in enumerate(msgspec.structs.astuple(usage)[: len(TOKEN_KINDS)]):
                self.tokens[number] += tokens


class Metrics(Collector):
    """A registry for each app. Labels are configured targets: what clients name besides is `other`.

    Attempts are calls of a provider, so that the `gen_ai_*` are theirs; a request may have several, or none.
    """

    def __init__(self, catalogue: Callable[[], Catalogue], observed: Observed) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._catalogue = catalogue
        self._observed = observed
        self._ledger: Ledger | None = None
        self._targets: dict[tuple[str, str], _Counted] = {}
        self._seconds, self._overhead = Histogram(SECONDS), Histogram((0.0005, 0.001, 0.0025, 0.005, *SECONDS))
        self._from_cache = 0

    def watch(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def count(self, record: RequestRecord) -> None:
        """Takes a request that has ended into account."""
        self._seconds.add(record.total_ms / 1000)
        self._overhead.add(record.overhead_ms / 1000)
        self._from_cache += record.cached
        answered = self._of(record.provider, record.model)
        answered.requests[record.result] = answered.requests.get(record.result, 0) + 1
        for attempt in record.attempts:
            self._of(attempt.provider, attempt.model).add(attempt)

    def _of(self, provider: str, model: str) -> _Counted:
        key = (provider, model)
        if (known := self._targets.get(key)) is not None:
            return known
        if not provider:
            key = NOBODY
        elif key not in self._catalogue().configured:
            key = OTHER
        return self._targets.setdefault(key, _Counted())

    def collect(self) -> Iterator[Metric]:
        """For the library, when somebody looks."""
        yield from self._of_requests()
        yield from self._of_attempts()
        yield from self._of_tokens()
        yield self._breakers()
        if self._ledger is not None:
            yield from _of_ledger(self._ledger)

    def _of_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(f"{PREFIX}_requests", "Requests, by who answered", labels=[*TARGET, "result"])
        for target, counted in self._targets.items():
            for result, count in counted.requests.items():
                requests.add_metric([*target, result], count)
        yield requests
        yield CounterMetricFamily(f"{PREFIX}_cache_hits", "Requests with a kept answer", value=self._from_cache)
        for name, told, taken in (
            ("request_seconds", "Requests, from their start to the last byte", self._seconds),
            ("overhead_seconds", "What no provider took of it", self._overhead),
        ):
            family = HistogramMetricFamily(f"{PREFIX}_{name}", told)
            family.add_metric([], taken.buckets(), taken.sum)
            yield family

    def _of_attempts(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily(f"{PREFIX}_attempts", "By end", labels=[*TARGET, "result", "error_type"])
        took = HistogramMetricFamily("gen_ai_client_operation_duration_seconds", "Of attempts", labels=TARGET)
        first = HistogramMetricFamily("gen_ai_server_time_to_first_token_seconds", "Of attempts", labels=TARGET)
        for target, counted in self._targets.items():
            for end, count in counted.attempts.items():
                attempts.add_metric([*target, *end], count)
            if counted.attempts:
                took.add_metric(target, counted.seconds.buckets(), counted.seconds.sum)
                first.add_metric(target, counted.first_token.buckets(), counted.first_token.sum)
        yield from (attempts, took, first)

    def _of_tokens(self) -> Iterator[Metric]:
        usage = HistogramMetricFamily("gen_ai_client_token_usage", "Of attempts", labels=[*TARGET, "gen_ai_token_type"])
        tokens = CounterMetricFamily(f"{PREFIX}_tokens", "All, and those of a kind", labels=[*TARGET, "kind"])
        cost = CounterMetricFamily(f"{PREFIX}_cost_usd", "US dollars, of known prices", labels=TARGET)
        unpriced = CounterMetricFamily(f"{PREFIX}_unpriced_attempts", "Of an unknown price", labels=TARGET)
        for target, counted in self._targets.items():
            for kind, histogram in (("input", counted.heard), ("output", counted.said)):
                usage.add_metric([*target, kind], histogram.buckets(), histogram.sum)
            for kind, count in zip(TOKEN_KINDS, counted.tokens, strict=True):
                tokens.add_metric([*target, kind.removesuffix("_tokens")], count)
            cost.add_metric(target, counted.cost_usd)
            unpriced.add_metric(target, counted.unpriced)
        yield from (usage, tokens, cost, unpriced)

    def _breakers(self) -> Metric:
        family = GaugeMetricFamily(f"{PREFIX}_breaker_state", "0 closed, 1 half open, 2 open", labels=TARGET)
        seen = self._observed.all()
        for provider, model in sorted(self._catalogue().configured):
            known = seen.get(f"{provider}/{model}")
            family.add_metric([provider, model], STATES[known.breaker.state] if known else 0)
        return family


def _of_ledger(ledger: Ledger) -> Iterator[Metric]:
    yield GaugeMetricFamily(f"{PREFIX}_ledger_queue", "Requests that wait in memory", value=ledger.waiting)
    yield GaugeMetricFamily(f"{PREFIX}_ledger_lag_seconds", "For how long the oldest has waited", value=ledger.lag)
    yield GaugeMetricFamily(f"{PREFIX}_ledger_spilled", "Requests that wait on disk", value=ledger.spilled)
    yield CounterMetricFamily(f"{PREFIX}_ledger_lost", "Requests that no usage will tell of", value=ledger.lost)
