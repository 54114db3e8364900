"""Attempts in order, until one commits: the one place where fallback is decided, for every surface."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from opentelemetry.context import Context

from llm_service.canonical.events import Ended, Finished, Piece, UsageCounted
from llm_service.canonical.losses import Losses
from llm_service.catalogue.service import Target
from llm_service.config import Timeouts
from llm_service.context.fitting import Fitter
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError
from llm_service.providers import Call
from llm_service.providers.keys import ApiKey
from llm_service.routing.attempts import Attempt
from llm_service.routing.observed import Observed
from llm_service.routing.plan import Plan
from llm_service.routing.turns import Turn, Turns

MOST_HELD_PIECES = 64
MOST_HELD_BYTES = 256 * 1024
"""What is held back before the first content; an attempt that says nothing for longer commits all the same."""
CLOSES_WITHIN = 0.2
"""Seconds that a provider gets to close what it has ended."""
MOST_ASSURED_BYTES = 64 * 1024 * 1024
"""What an assured answer may have: it is held back until it is complete."""

T = TypeVar("T")
Ask = Callable[[Target, ApiKey | None], Awaitable[T]]
"""Puts a question to a target, with one of its keys. Raises ProviderError."""


class AllFailed(Exception):
    """No attempt committed; the request's attempts tell why."""


class Engine:
    """Runs attempts; what it remembers of targets stands in `observed`."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    async def run(
        self,
        ingress: Ingress,
        plan: Plan,
        attempts: list[Attempt],
        *,
        timeouts: Timeouts,
        parent: Context | None = None,
        fitter: Fitter | None = None,
        most_output: int | None = None,
    ) -> AsyncGenerator[Attempt | Piece]:
        """Yields the attempt that committed once, then the answer's pieces up to its end.

        Each attempt stands in `attempts` from its start. `fitter` makes the request fit into each target's window;
        without it each gets it as it is. No target is asked for more than `most_output` tokens.
        Closing the generator ends the provider's work.
        Raises AllFailed before an attempt committed, ProviderError after (the answer broke off).
        """
        turns = self._turns(ingress, plan, attempts, timeouts, parent)
        while (turn := turns.next()) is not None:
            committed = False
            try:
                with turn.account():
                    fitted = _limited(await _fitted(ingress, turn, fitter), turn, most_output)
                    async with aclosing(_pieces(fitted, turn, timeouts)) as pieces:
                        async for piece in pieces:
                            if not committed:
                                committed = True
                                yield turn.attempt
                            yield piece
                return
            except ProviderError as error:
                if committed:
                    raise
                await turns.after(turn, error, again=_fits_better(turn, error, fitter))
        raise AllFailed

    def _turns(
        self, ingress: Ingress, plan: Plan, attempts: list[Attempt], timeouts: Timeouts, parent: Context | None
    ) -> Turns:
        return Turns(
            plan,
            attempts,
            self._observed,
            timeouts=timeouts,
            deadline=deadline_of(ingress, timeouts),
            streams=lambda target: ingress.stream or target.provider.dialect is not ingress.dialect,
            parent=parent,
            hurried=bool(ingress.routing.deadline_ms or ingress.fallbacks),
        )

    async def once(self, plan: Plan, attempts: list[Attempt], ask: Ask[T], *, timeouts: Timeouts) -> T:
        """The first answer to a question that is answered whole. Raises AllFailed."""
        turns = Turns(
            plan,
            attempts,
            self._observed,
            timeouts=timeouts,
            deadline=timeouts.deadline,
            streams=lambda _: False,
        )
        while (turn := turns.next()) is not None:
            try:
                with turn.account():
                    async with turn.timers.headers():
                        return await ask(turn.attempt.target, turn.key)
            except ProviderError as error:
                await turns.after(turn, error)
        raise AllFailed


def deadline_of(ingress: Ingress, timeouts: Timeouts) -> float:
    """Seconds that all attempts have together."""
    asked = ingress.routing.deadline_ms
    return min(asked / 1000, timeouts.deadline) if asked else timeouts.deadline


async def _fitted(ingress: Ingress, turn: Turn, fitter: Fitter | None) -> Ingress:
    if fitter is None:
        return ingress
    fitted = await fitter.fitted(turn.attempt.target)
    turn.attempt.context = fitted.note
    return fitted.ingress


def _limited(ingress: Ingress, turn: Turn, most_output: int | None) -> Ingress:
    """A model that never says as much needs no limit, and might refuse one that it cannot reach."""
    longest = turn.attempt.target.facts.max_output_tokens
    if most_output is None or (longest is not None and longest <= most_output):
        return ingress
    turn.attempt.output_limit = most_output
    return ingress.with_output_limit(most_output)


def _fits_better(turn: Turn, error: ProviderError, fitter: Fitter | None) -> bool:
    """Whether the same target may get the request once more, as a shorter one."""
    return fitter is not None and error.kind is Kind.CONTEXT_OVERFLOW and fitter.tightens(turn.attempt.target)


async def _pieces(ingress: Ingress, turn: Turn, timeouts: Timeouts) -> AsyncGenerator[Piece]:
    """One target's answer. Nothing is yielded of a bad start: what comes before the first content is held back, and
    of an assured answer everything is, until it is complete."""
    attempt, timers, started = turn.attempt, turn.timers, time.monotonic()
    provider, assured = attempt.target.provider, ingress.routing.assured
    held = _Held()
    committed = complete = ended = False
    async with AsyncExitStack() as opened:
        async with timers.headers():
            pieces = await opened.enter_async_context(provider.open(_call(ingress, turn, timeouts)))
        await opened.enter_async_context(aclosing(pieces))
        while not ended:
            async with timers.gap() if attempt.first_content_ms is not None else timers.first_content():
                piece = await anext(pieces, None)
            if piece is None:
                break
            complete = _noted(piece, attempt, started) or complete
            if ended := any(isinstance(event, Ended) for event in piece.events):
                break
            if committed:
                yield piece
                continue
            held.add(piece)
            if _must_commit(held, attempt, assured=assured):
                committed = True
                for early in held.pieces:
                    yield early
        if not complete:
            raise ProviderError(Kind.TRUNCATED, f"{provider.name} ended its answer before it was complete.")
        if not committed:  # an assured answer; or a complete one without a word, which is an answer too
            for early in held.pieces:
                yield early
        if attempt.usage is None:
            yield _estimated(attempt, ingress)
        if piece is not None:
            yield piece
            await _let_close(pieces)


@dataclass(slots=True)
class _Held:
    pieces: list[Piece] = field(default_factory=list)
    size: int = 0
    """Bytes."""

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.size += len(piece.raw)


async def _let_close(pieces: AsyncGenerator[Piece]) -> None:
    """After its end an answer has nothing to say: a moment for the connection to become free for the next."""
    with suppress(TimeoutError, ProviderError):
        async with asyncio.timeout(CLOSES_WITHIN):
            await anext(pieces, None)


def _noted(piece: Piece, attempt: Attempt, started: float) -> bool:
    """Keeps the attempt's account; whether the piece says that the answer is complete."""
    complete = False
    for event in piece.events:
        attempt.observe(event, ms=(time.monotonic() - started) * 1000)
        complete = complete or isinstance(event, Finished | Ended)
    return complete


def _estimated(attempt: Attempt, ingress: Ingress) -> Piece:
    """What stands in the place of the usage that a provider has not told: all that tell it further tell the same."""
    attempt.usage = attempt.estimated_usage(input_tokens=ingress.tokens_for(attempt.target.provider.dialect))
    return Piece(b"", (UsageCounted(attempt.usage),))


def _must_commit(held: _Held, attempt: Attempt, *, assured: bool) -> bool:
    """Raises ProviderError for an assured answer without end."""
    if assured:
        if held.size > MOST_ASSURED_BYTES:
            raise ProviderError(Kind.INVALID_ANSWER, "The answer is larger than one that is held back may be.")
        return False
    if attempt.first_content_ms is not None:
        return True
    return len(held.pieces) >= MOST_HELD_PIECES or held.size >= MOST_HELD_BYTES


def _call(ingress: Ingress, turn: Turn, timeouts: Timeouts) -> Call:
    losses = Losses(allowed=ingress.drop_params)
    turn.attempt.dropped = losses.fields
    return Call(
        ingress=ingress,
        model=turn.attempt.target.model,
        stream=turn.attempt.stream,
        connect_timeout=timeouts.connect,
        key=turn.key,
        max_output_tokens=turn.attempt.target.facts.max_output_tokens,
        on_sent=turn.attempt.send_completed,
        losses=losses,
    )
