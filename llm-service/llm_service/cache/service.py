"""One answer for all who ask the same: kept for a while, and made once for those who ask at the same time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from llm_service.cache.entries import Kept, Recorder, decoded
from llm_service.cache.stores import AnswerStore
from llm_service.canonical.events import Piece
from llm_service.catalogue.service import Target
from llm_service.config import CacheConfig
from llm_service.dialects import Dialect
from llm_service.dialects.ingress import Ingress
from llm_service.providers.base import Incoming
from llm_service.routing.attempts import Attempt

LONGEST_WAIT = 120.0
"""Seconds for which a request waits for another's answer, before it asks for one of its own."""

Opened: TypeAlias = tuple[Attempt, Incoming]
"""The attempt that committed, and the answer's pieces."""
Outcome: TypeAlias = Kept | Literal["failed", "left"]
"""`left`: nobody waits for that request any more, so its answer was never completed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for: the key of the request, for how long its answer is good (seconds), and who may give it."""

    key: str
    ttl: int
    targets: tuple[Target, ...]
    dialect: Dialect
    keeps: bool = True
    """Whether the answer is one for others too, if it has to be asked for."""
    longest_wait: float = LONGEST_WAIT


@dataclass(slots=True)
class _Flight:
    """A request that is being answered, for itself and for others that wait."""

    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class AnswerCache:
    """One per process. Which requests may use it is decided before: policies hold for kept answers too."""

    def __init__(self, store: AnswerStore) -> None:
        self._store = store
        self._flights: dict[str, _Flight] = {}

    @asynccontextmanager
    async def through(
        self, wanted: Wanted, ask: Callable[[], AbstractAsyncContextManager[Opened]]
    ) -> AsyncGenerator[Opened]:
        """The answer that is kept, or that an equal request is just being given; else the one of `ask`, which is kept.

        A request that waits and learns that the other failed asks for itself: a failure is nobody else's. Where the
        other's client has left, one of those that wait takes over.
        """
        ends = time.monotonic() + wanted.longest_wait
        while True:
            if (found := await self._found(wanted)) is not None:
                yield found
                return
            flight = self._flights.get(wanted.key)
            outcome = await self._outcome(flight, ends - time.monotonic()) if flight is not None else None
            if isinstance(outcome, Kept) and (given := _replay(outcome, wanted)) is not None:
                yield given
                return
            if outcome != "left":
                break
        async with self._led(wanted, ask) if wanted.keeps else ask() as opened:
            yield opened

    async def _found(self, wanted: Wanted) -> Opened | None:
        value = await self._store.find(wanted.key)
        kept = None if value is None else decoded(value)
        if kept is None or time.time() - kept.kept_at > wanted.ttl:
            return None
        return _replay(kept, wanted)

    async def _outcome(self, flight: _Flight, seconds: float) -> Outcome:
        done, _ = await asyncio.wait({flight.outcome}, timeout=max(0.0, seconds))
        return flight.outcome.result() if done else "failed"

    @asynccontextmanager
    async def _led(
        self, wanted: Wanted, ask: Callable[[], AbstractAsyncContextManager[Opened]]
    ) -> AsyncGenerator[Opened]:
        """Asks, and lets others wait for it, unless another is being waited for already."""
        flight = _Flight()
        leads = self._flights.setdefault(wanted.key, flight) is flight
        try:
            async with ask() as (attempt, run):
                attempt.recorded = True
                yield attempt, _Recorded(self._store, wanted, attempt, run, flight)
        except Exception:
            flight.end("failed")
            raise
        finally:
            if leads:
                self._flights.pop(wanted.key, None)
            flight.end("left")


class _Recorded(Incoming):
    """Passes an answer on, and keeps it when it is complete."""

    def __init__(self, store: AnswerStore, wanted: Wanted, attempt: Attempt, run: Incoming, flight: _Flight) -> None:
        self._store = store
        self._wanted = wanted
        self._run = run
        self._flight = flight
        self._recorder = Recorder(attempt, dialect=wanted.dialect)
        self._is_over = False

    async def next(self) -> Piece | None:
        try:
            piece = await self._run.next()
        except Exception:
            self._flight.end("failed")
            raise
        if piece is not None:
            self._recorder.add(piece)
        elif not self._is_over:
            self._is_over = True
            await self._keep()
        return piece

    async def _keep(self) -> None:
        answer = self._recorder.encoded()
        kept = None if answer is None else decoded(answer)
        if answer is not None:
            await self._store.keep(self._wanted.key, answer, ttl=self._wanted.ttl)
        self._flight.end("failed" if kept is None else kept)


class _Replayed(Incoming):
    def __init__(self, kept: Kept) -> None:
        self._pieces = iter(kept.replayed())

    async def next(self) -> Piece | None:
        return next(self._pieces, None)


def _replay(kept: Kept, wanted: Wanted) -> Opened | None:
    attempt = kept.attempt(wanted.targets)
    return None if attempt is None else (attempt, _Replayed(kept))


def wanted_ttl(ingress: Ingress, *configured: CacheConfig | None) -> int | None:
    """Seconds, as the request says, or the first of `configured` that says something; None is no cache."""
    if ingress.cache is False:
        return None
    if ingress.cache is not None:
        return ingress.cache.ttl
    return next((one.ttl for one in configured if one is not None), None)
