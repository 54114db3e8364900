"""Attempts in order, until one commits: the one place where fallback is decided, for every surface."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

import structlog

from llm_service.canonical.events import Ended, Finished, Piece, UsageCounted, bears_content
from llm_service.canonical.losses import Losses
from llm_service.catalogue.service import Target
from llm_service.config import Timeouts
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError
from llm_service.providers import Call
from llm_service.providers.keys import EVERY_MODEL, ApiKey
from llm_service.routing.attempts import Attempt
from llm_service.routing.observed import Observed, Seen
from llm_service.routing.plan import Plan
from llm_service.routing.policy import (
    LIMITED_FOR,
    LONGEST_REST,
    POLICIES,
    REFUSED_FOR,
    RETRY_AFTER,
    Policy,
)
from llm_service.routing.timers import Deadline, Timers

log = structlog.get_logger(__name__)

MOST_HELD_PIECES = 64
MOST_HELD_BYTES = 256 * 1024
"""What is held back before the first content; an attempt that says nothing for longer commits all the same."""
MOST_ASSURED_BYTES = 64 * 1024 * 1024
"""What an assured answer may have: it is held back until it is complete."""


class AllFailed(Exception):
    """No attempt committed; the request's attempts tell why."""


class _Waiting:
    """The targets that are left, and what was done about the first of them."""

    def __init__(self, plan: Plan) -> None:
        self._targets = deque(plan.targets)
        self._reroute_refused = plan.reroute_refused
        self.tried: list[ApiKey] = []
        self._retried = False

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def target(self) -> Target:
        return self._targets[0]

    def after(self, error: ProviderError, key: ApiKey | None) -> bool:
        """Decides what comes next; whether it is the same target once more, after a moment."""
        policy = POLICIES[error.kind]
        if error.kind is Kind.CONTENT_FILTER and self._reroute_refused:
            policy = Policy("any")
        if key is not None:
            self.tried.append(key)
        if policy.rotate and self.target.provider.keys.choose(model=self.target.model, tried=self.tried):
            return False
        if policy.retry and not self._retried and error.retry_after is None:
            self._retried = True
            self.tried.clear()
            return True
        done = self._targets.popleft()
        self._retried = False
        self.tried.clear()
        if policy.next == "none":
            self._targets.clear()
        elif policy.next == "larger":
            self._targets = deque(target for target in self._targets if _window(target) > _window(done))
        return False


class Engine:
    """Runs attempts; what it remembers of targets stands in `observed`."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    async def run(
        self, ingress: Ingress, plan: Plan, attempts: list[Attempt], *, timeouts: Timeouts
    ) -> AsyncGenerator[Attempt | Piece]:
        """Yields the attempt that committed once, then the answer's pieces up to its end.

        Each attempt stands in `attempts` from its start. Closing the generator ends the provider's work.
        Raises AllFailed before an attempt committed, ProviderError after (the answer broke off).
        """
        asked = ingress.routing.deadline_ms
        deadline = Deadline(min(asked / 1000, timeouts.deadline) if asked else timeouts.deadline)
        waiting = _Waiting(plan)
        while waiting and deadline.remaining:
            target, seen = waiting.target, self._observed.of(waiting.target)
            attempt = Attempt(target=target, stream=ingress.stream or target.provider.dialect is not ingress.dialect)
            attempts.append(attempt)
            key = target.provider.keys.choose(model=target.model, tried=waiting.tried)
            if error := _unable(target, key, seen):
                attempt.result, attempt.error = "skipped", error
                waiting.after(error, None)
                continue
            committed = False
            timers = Timers(timeouts, deadline, stream=attempt.stream, silence=deadline.remaining / len(waiting))
            call = _call(ingress, attempt, key, timeouts)
            try:
                async with aclosing(self._tried(call, attempt, seen, timers)) as pieces:
                    async for piece in pieces:
                        if not committed:
                            committed = True
                            yield attempt
                        yield piece
                return
            except ProviderError as error:
                if committed:
                    raise
                again = waiting.after(error, key)
            if again:
                await asyncio.sleep(random.uniform(*RETRY_AFTER))  # noqa: S311 # jitter, not a secret
        raise AllFailed

    async def _tried(self, call: Call, attempt: Attempt, seen: Seen, timers: Timers) -> AsyncGenerator[Piece]:
        """The attempt's pieces; keeps its account, and that of its target and key."""
        started = time.monotonic()
        attempt.result = "cancelled"  # unless it comes to an end of its own
        try:
            async with aclosing(_pieces(call, attempt, timers)) as pieces:
                async for piece in pieces:
                    yield piece
            attempt.result = "completed"
        except ProviderError as error:
            attempt.result, attempt.error = "failed", error
            _rest(call.key, attempt.target.model, error)
            told = {"target": attempt.target.name, "key": attempt.key, "error": error.kind, "status": error.status}
            log.warning("attempt failed", **told, detail=error.message)
            raise
        finally:
            attempt.total_ms = (time.monotonic() - started) * 1000
            seen.note(attempt)


async def _pieces(call: Call, attempt: Attempt, timers: Timers) -> AsyncGenerator[Piece]:
    """One target's answer. Nothing is yielded of a bad start: what comes before the first content is held back, and
    of an assured answer everything is, until it is complete."""
    provider, started = attempt.target.provider, time.monotonic()
    held: list[Piece] = []
    assured = call.ingress.routing.assured
    committed = complete = False
    async with AsyncExitStack() as opened:
        async with timers.headers():
            pieces = await opened.enter_async_context(provider.open(call))
        await opened.enter_async_context(aclosing(pieces))
        while True:
            async with timers.gap() if attempt.first_content_ms is not None else timers.first_content():
                piece = await anext(pieces, None)
            if piece is None:
                break
            complete = _noted(piece, attempt, started) or complete
            if committed:
                yield piece
                continue
            held.append(piece)
            if _must_commit(held, attempt, assured=assured):
                committed = True
                for early in held:
                    yield early
        if not complete:
            raise ProviderError(Kind.TRUNCATED, f"{provider.name} ended its answer before it was complete.")
    if not committed:  # an assured answer; or a complete one without a word, which is an answer too
        for early in held:
            yield early


def _noted(piece: Piece, attempt: Attempt, started: float) -> bool:
    """Keeps the attempt's account; whether the piece says that the answer is complete."""
    complete = False
    for event in piece.events:
        if isinstance(event, UsageCounted):
            attempt.usage = event.usage
        elif isinstance(event, Finished | Ended):
            complete = True
        elif attempt.first_content_ms is None and bears_content(event):
            attempt.first_content_ms = (time.monotonic() - started) * 1000
    return complete


def _must_commit(held: list[Piece], attempt: Attempt, *, assured: bool) -> bool:
    """Raises ProviderError for an assured answer without end."""
    if assured:
        if sum(len(piece.raw) for piece in held) > MOST_ASSURED_BYTES:
            raise ProviderError(Kind.INVALID_ANSWER, "The answer is larger than one that is held back may be.")
        return False
    if attempt.first_content_ms is not None:
        return True
    return len(held) >= MOST_HELD_PIECES or sum(len(piece.raw) for piece in held) >= MOST_HELD_BYTES


def _call(ingress: Ingress, attempt: Attempt, key: ApiKey | None, timeouts: Timeouts) -> Call:
    losses = Losses(allowed=ingress.drop_params)
    attempt.dropped, attempt.key = losses.fields, key.name if key else None
    return Call(
        ingress=ingress,
        model=attempt.target.model,
        stream=attempt.stream,
        connect_timeout=timeouts.connect,
        key=key,
        losses=losses,
    )


def _unable(target: Target, key: ApiKey | None, seen: Seen) -> ProviderError | None:
    """Why the target is not even asked; asking the breaker is last, as it may let a probe pass."""
    name, keys = target.provider.name, target.provider.keys
    if key is None and keys.all:
        message = f"All keys of {name} rest: the provider limited or refused them a moment ago."
        return ProviderError(Kind.RATE_LIMITED, message, retry_after=keys.rested_in(target.model))
    if not seen.breaker.allows():
        message = f"{name} failed too often a moment ago, and is left alone."
        return ProviderError(Kind.CIRCUIT_OPEN, message, retry_after=max(1.0, seen.breaker.opens_in))
    return None


def _rest(key: ApiKey | None, model: str, error: ProviderError) -> None:
    """Limits and permissions are a model's; a key that is wrong or unpaid is so for all."""
    if key is None:
        return
    if error.kind is Kind.RATE_LIMITED:
        key.rest(min(error.retry_after or LIMITED_FOR, LONGEST_REST), model=model)
    elif error.kind is Kind.CREDENTIALS:
        key.rest(REFUSED_FOR, model=model if error.status == 403 else EVERY_MODEL)


def _window(target: Target) -> int:
    """0 where nobody knows it: nothing is known to be larger then."""
    return target.facts.context_window or 0
