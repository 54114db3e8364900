"""What this process has seen of each target: its circuit breaker, its speed, and how its attempts went."""

import time
from collections import OrderedDict
from dataclasses import dataclass, field

from llm_service.catalogue.service import Target
from llm_service.errors import Kind, ProviderError
from llm_service.routing.attempts import Attempt
from llm_service.routing.breaker import Breaker

WEIGHT = 0.2
"""Of the newest attempt in a moving average."""
STALE_AFTER = 300.0
"""Seconds after which a target's speed counts as unknown again, so that it is tried."""
MOST_TARGETS = 5000
"""Names of models come from clients: the least recently used are forgotten."""
TARGETS_FAULT = frozenset(
    {Kind.UNREACHABLE, Kind.TIMEOUT, Kind.SERVER, Kind.OVERLOADED, Kind.INVALID_ANSWER, Kind.TRUNCATED}
)
"""What counts against a target. A limit or a refused key rests the key; a wrong request is the client's."""


@dataclass(slots=True)
class Seen:
    """One target's record. Averages weigh the newest attempt most."""

    breaker: Breaker = field(default_factory=Breaker)
    attempts: int = 0
    failures: int = 0
    first_content_ms: float | None = None
    tokens_per_second: float | None = None
    last_error: ProviderError | None = None
    last_error_at: float | None = None
    measured_at: float = 0.0
    """By the monotonic clock."""

    def seconds_for(self, tokens: int) -> float | None:
        """How long an answer of `tokens` would take; None where nobody knows (any more)."""
        if self.first_content_ms is None or time.monotonic() - self.measured_at > STALE_AFTER:
            return None
        return self.first_content_ms / 1000 + tokens / (self.tokens_per_second or 50)

    def note(self, attempt: Attempt) -> None:
        """Takes an attempt that has ended into account."""
        self.attempts += 1
        if attempt.error is not None:
            self.failures += 1
            self.last_error, self.last_error_at = attempt.error, time.time()
        if attempt.error is not None and attempt.error.kind in TARGETS_FAULT and not attempt.error.hurried:
            self.breaker.failed()
        elif attempt.result == "completed":
            self.breaker.succeeded()
            self._measure(attempt)
        else:
            self.breaker.told_nothing()

    def _measure(self, attempt: Attempt) -> None:
        if attempt.first_content_ms is None or attempt.total_ms is None:
            return
        self.measured_at = time.monotonic()
        self.first_content_ms = _moved(self.first_content_ms, attempt.first_content_ms)
        wrote = max(1.0, attempt.total_ms - (attempt.first_content_ms if attempt.stream else 0))
        if attempt.usage is not None and attempt.usage.output_tokens:
            self.tokens_per_second = _moved(self.tokens_per_second, attempt.usage.output_tokens * 1000 / wrote)


def _moved(average: float | None, newest: float) -> float:
    return newest if average is None else average + WEIGHT * (newest - average)


class Observed:
    """By target. It outlives reloads of the configuration."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def of(self, target: Target) -> Seen:
        found = self._seen.get(target.name)
        if found is None:
            found = self._seen[target.name] = Seen()
            if len(self._seen) > MOST_TARGETS:
                self._seen.popitem(last=False)
        else:
            self._seen.move_to_end(target.name)
        return found

    def all(self) -> dict[str, Seen]:
        return dict(self._seen)
