"""Attempts in order, until one commits: the one place where fallback is decided, for every surface."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from opentelemetry.context import Context

from llm_service.canonical.events import Piece
from llm_service.canonical.losses import Losses
from llm_service.catalogue.service import Target
from llm_service.config import Timeouts
from llm_service.context.fitting import Fitter
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError
from llm_service.providers import Call
from llm_service.providers.base import Incoming
from llm_service.providers.keys import ApiKey
from llm_service.routing.answering import Answering
from llm_service.routing.attempts import Attempt
from llm_service.routing.observed import Observed
from llm_service.routing.plan import Plan
from llm_service.routing.timers import Clock
from llm_service.routing.turns import Turn, Turns

T = TypeVar("T")
Ask = Callable[[Target, ApiKey | None], Awaitable[T]]
"""Puts a question to a target, with one of its keys. Raises ProviderError."""


class AllFailed(Exception):
    """No attempt committed; the request's attempts tell why."""


class Engine:
    """Runs attempts; what it remembers of targets stands in `observed`."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._clock = Clock()

    def start(
        self,
        ingress: Ingress,
        plan: Plan,
        attempts: list[Attempt],
        *,
        timeouts: Timeouts,
        parent: Context | None = None,
        fitter: Fitter | None = None,
        output_limit: Callable[[Target], int | None] = lambda _: None,
    ) -> "Run":
        """Each attempt stands in `attempts` from its start. `fitter` makes the request fit into each target's window;
        without it each gets it as it is. `output_limit` tells how many tokens a target may be asked for at most."""
        turns = self._turns(ingress, plan, attempts, timeouts, parent)
        return Run(turns, ingress, timeouts=timeouts, fitter=fitter, output_limit=output_limit)

    def _turns(
        self, ingress: Ingress, plan: Plan, attempts: list[Attempt], timeouts: Timeouts, parent: Context | None
    ) -> Turns:
        return Turns(
            plan,
            attempts,
            self._observed,
            clock=self._clock,
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
            clock=self._clock,
            timeouts=timeouts,
            deadline=timeouts.deadline,
            streams=lambda _: False,
        )
        while (turn := turns.next()) is not None:
            try:
                with turn, turn.timers.headers():
                    return await ask(turn.attempt.target, turn.key)
            except ProviderError as error:
                await turns.after(turn, error)
        raise AllFailed


class Run(Incoming):
    """One request's answer in the making: `commit` first, then `next`; `close` whatever becomes of it."""

    def __init__(
        self,
        turns: Turns,
        ingress: Ingress,
        *,
        timeouts: Timeouts,
        fitter: Fitter | None,
        output_limit: Callable[[Target], int | None],
    ) -> None:
        self._turns = turns
        self._ingress = ingress
        self._timeouts = timeouts
        self._fitter = fitter
        self._output_limit = output_limit
        self._turn: Turn | None = None
        self._answering: Answering | None = None

    async def commit(self) -> Attempt:
        """The attempt whose answer this is. Raises AllFailed."""
        while (turn := self._turns.next()) is not None:
            self._turn = turn.begin()
            self._answering = answering = Answering(turn, self._ingress)
            try:
                fitted = _limited(await _fitted(self._ingress, turn, self._fitter), turn, self._output_limit)
                await answering.begin(_call(fitted, turn, self._timeouts))
            except ProviderError as error:
                await self._end(error)
                await self._turns.after(turn, error, again=_fits_better(turn, error, self._fitter))
            else:
                return turn.attempt
        raise AllFailed

    async def next(self) -> Piece | None:
        """Raises ProviderError where the answer breaks off."""
        assert self._answering is not None
        try:
            piece = await self._answering.next()
        except ProviderError as error:
            await self._end(error)
            raise
        if piece is None:
            await self._end(None)
        return piece

    async def close(self) -> None:
        """Ends the provider's work where it goes on: then nobody waits for it any more."""
        await self._end(Left())

    async def _end(self, error: BaseException | None) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        try:
            if self._answering is not None:
                await self._answering.close()
        finally:
            turn.end(error)


class Left(Exception):
    """The attempt came to no end of its own."""


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


def _limited(ingress: Ingress, turn: Turn, output_limit: Callable[[Target], int | None]) -> Ingress:
    limit = output_limit(turn.attempt.target)
    if limit is None:
        return ingress
    turn.attempt.output_limit = limit
    return ingress.with_output_limit(limit)


def _fits_better(turn: Turn, error: ProviderError, fitter: Fitter | None) -> bool:
    """Whether the same target may get the request once more, as a shorter one."""
    return fitter is not None and error.kind is Kind.CONTEXT_OVERFLOW and fitter.tightens(turn.attempt.target)


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
