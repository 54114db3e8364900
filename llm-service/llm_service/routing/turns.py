"""Whose turn it is: the targets that are left of a plan, their keys, and what each failure means for the next."""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from opentelemetry.context import Context

from llm_service.catalogue.service import Target
from llm_service.config import Timeouts
from llm_service.errors import Kind, ProviderError
from llm_service.providers.keys import EVERY_MODEL, ApiKey
from llm_service.routing import spans
from llm_service.routing.attempts import Attempt
from llm_service.routing.observed import Observed, Seen
from llm_service.routing.plan import Plan
from llm_service.routing.policy import LIMITED_FOR, LONGEST_REST, POLICIES, REFUSED_FOR, RETRY_AFTER, Policy
from llm_service.routing.timers import Clock, Deadline, Timers

log = structlog.get_logger(__name__)


class Turn:
    """One attempt that may be made now: a block that keeps the attempt's account, and that of its target and key,
    whatever becomes of it."""

    __slots__ = ("_parent", "_seen", "_span", "_started", "attempt", "key", "timers")

    def __init__(
        self, attempt: Attempt, key: ApiKey | None, timers: Timers, *, seen: Seen, parent: Context | None
    ) -> None:
        self.attempt = attempt
        self.key = key
        self.timers = timers
        self._seen = seen
        self._parent = parent

    def begin(self) -> Self:
        self._started = time.monotonic()
        self._span = spans.begin(self.attempt, parent=self._parent)
        return self

    __enter__ = begin

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(error)

    def end(self, error: BaseException | None) -> None:
        """`error` is what ended it before its time."""
        attempt = self.attempt
        match error:
            case None:
                attempt.result = "completed"
            case ProviderError():
                attempt.result, attempt.error = "failed", error
                _rest(self.key, attempt.target.model, error)
                told = {"target": attempt.target.name, "key": attempt.key, "error": error.kind, "status": error.status}
                log.warning("attempt failed", **told, detail=error.message, page=error.page)
            case _:
                attempt.result = "cancelled"  # it came to no end of its own
        attempt.total_ms = (time.monotonic() - self._started) * 1000
        self._seen.note(attempt)
        spans.end(self._span, attempt)


class Turns:
    """A request's. Each attempt stands in `attempts` from its start; targets that cannot be asked stand there too."""

    def __init__(
        self,
        plan: Plan,
        attempts: list[Attempt],
        observed: Observed,
        *,
        clock: Clock,
        timeouts: Timeouts,
        deadline: float,
        streams: Callable[[Target], bool],
        parent: Context | None = None,
        hurried: bool = False,
    ) -> None:
        """`deadline` in seconds; `hurried`: each target's share of it is the client's doing. `streams` tells whether a
        target is asked for a stream, `parent` the trace."""
        self._targets = deque(plan.targets)
        self._reroute_refused = plan.reroute_refused
        self._attempts = attempts
        self._observed = observed
        self._clock = clock
        self._timeouts = timeouts
        self._deadline = Deadline(deadline)
        self._streams = streams
        self._parent = parent
        self._hurried = hurried
        self._tried: list[ApiKey] = []
        self._retried = False

    def next(self) -> Turn | None:
        """None where nobody is left to ask, or no time."""
        while self._targets and self._deadline.remaining:
            target, seen = self._targets[0], self._observed.of(self._targets[0])
            attempt = Attempt(target=target, stream=self._streams(target))
            self._attempts.append(attempt)
            key = target.provider.keys.choose(model=target.model, tried=self._tried)
            if error := _unable(target, key, seen):
                attempt.result, attempt.error = "skipped", error
                self._decide(error)
                continue
            attempt.key = key.name if key else None
            return Turn(attempt, key, self._timers(stream=attempt.stream), seen=seen, parent=self._parent)
        return None

    def _timers(self, *, stream: bool) -> Timers:
        return Timers(
            self._clock,
            self._timeouts,
            self._deadline.at,
            stream=stream,
            silence=self._deadline.remaining / len(self._targets),
            whole=self._timeouts.whole if len(self._targets) > 1 else math.inf,
            hurried=self._hurried,
        )

    async def after(self, turn: Turn, error: ProviderError, *, again: bool = False) -> None:
        """The turn failed: decides who is next, and waits a moment where it is the same target again.

        `again`: the same target gets the request once more in any case, as it will be another one.
        """
        if again:
            return
        if turn.key is not None:
            self._tried.append(turn.key)
        if self._decide(error):
            await asyncio.sleep(random.uniform(*RETRY_AFTER))  # noqa: S311 # jitter, not a secret

    def _decide(self, error: ProviderError) -> bool:
        """Whether the same target is to be asked once more, after a moment."""
        target, policy = self._targets[0], POLICIES[error.kind]
        if error.kind is Kind.CONTENT_FILTER and self._reroute_refused:
            policy = Policy("any")
        if policy.rotate and target.provider.keys.choose(model=target.model, tried=self._tried):
            return False
        if policy.retry and not self._retried and error.retry_after is None:
            self._retried = True
            self._tried.clear()
            return True
        self._targets.popleft()
        self._retried = False
        self._tried.clear()
        if policy.next == "none":
            self._targets.clear()
        elif policy.next == "larger":
            self._targets = deque(other for other in self._targets if _window(other) > _window(target))
        return False


def _unable(target: Target, key: ApiKey | None, seen: Seen) -> ProviderError | None:
    """Why the target is not even asked; asking the breaker is last, as it may let a probe pass."""
    name, keys = target.provider.name, target.provider.keys
    if key is None and keys.all:
        first = keys.first_rested(target.model)
        message = f"All keys of {name} rest: the provider limited or refused them a moment ago."
        return ProviderError(first.why(target.model), message, retry_after=first.rested_in(target.model))
    if not seen.breaker.allows():
        message = f"{target.name} failed too often a moment ago, and is left alone."
        return ProviderError(Kind.CIRCUIT_OPEN, message, retry_after=max(1.0, seen.breaker.opens_in))
    return None


def _rest(key: ApiKey | None, model: str, error: ProviderError) -> None:
    """Limits and permissions are a model's; a key that is wrong or unpaid is so for all."""
    if key is None:
        return
    if error.kind is Kind.RATE_LIMITED:
        key.rest(min(error.retry_after or LIMITED_FOR, LONGEST_REST), error.kind, model=model)
    elif error.kind is Kind.CREDENTIALS:
        key.rest(REFUSED_FOR, error.kind, model=model if error.status == 403 else EVERY_MODEL)


def _window(target: Target) -> int:
    """0 where nobody knows it: nothing is known to be larger then."""
    return target.facts.context_window or 0
