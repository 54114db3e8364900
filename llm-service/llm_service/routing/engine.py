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
from llm_service.providers.keys import ApiKey
from llm_service.routing.attempts import Attempt
from llm_service.routing.policy import POLICIES, RETRY_AFTER
from llm_service.routing.timers import Deadline, Timers

log = structlog.get_logger(__name__)

MOST_HELD_PIECES = 64
MOST_HELD_BYTES = 256 * 1024
"""What is held back before the first content; an attempt that says nothing for longer commits all the same."""


class AllFailed(Exception):
    """No attempt committed; the request's attempts tell why."""


class Engine:
    """Runs attempts; holds nothing of any request."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts

    async def run(
        self, ingress: Ingress, targets: tuple[Target, ...], attempts: list[Attempt]
    ) -> AsyncGenerator[Attempt | Piece]:
        """Yields the attempt that committed once, then the answer's pieces up to its end.

        Each attempt stands in `attempts` from its start. Closing the generator ends the provider's work.
        Raises AllFailed before an attempt committed, ProviderError after (the answer broke off).
        """
        asked = ingress.routing.deadline_ms
        total = self._timeouts.total
        deadline = Deadline(min(asked / 1000, total) if asked else total)
        waiting = deque(targets)
        retried = False
        while True:
            attempt = Attempt(target=waiting[0])
            attempts.append(attempt)
            committed = False
            try:
                async with aclosing(self._tried(ingress, attempt, deadline)) as pieces:
                    async for piece in pieces:
                        if not committed:
                            committed = True
                            yield attempt
                        yield piece
                return
            except ProviderError as error:
                if committed:
                    raise
                policy = POLICIES[error.kind]
                retried = policy.retry and not retried
                if not retried:
                    waiting.popleft()
                if not deadline.remaining or not waiting or not (retried or policy.fall_back):
                    raise AllFailed from error
            if retried:
                await asyncio.sleep(random.uniform(*RETRY_AFTER))  # noqa: S311 # jitter, not a secret

    async def _tried(self, ingress: Ingress, attempt: Attempt, deadline: Deadline) -> AsyncGenerator[Piece]:
        """The attempt's pieces; keeps its account."""
        started = time.monotonic()
        attempt.result = "cancelled"  # unless it comes to an end of its own
        try:
            async with aclosing(self._pieces(ingress, attempt, deadline)) as pieces:
                async for piece in pieces:
                    for event in piece.events:
                        if isinstance(event, UsageCounted):
                            attempt.usage = event.usage
                        elif attempt.first_content_ms is None and bears_content(event):
                            attempt.first_content_ms = (time.monotonic() - started) * 1000
                    yield piece
            attempt.result = "completed"
        except ProviderError as error:
            attempt.result, attempt.error = "failed", error
            log.warning(
                "attempt failed",
                target=attempt.target.name,
                error=error.kind,
                status=error.status,
                detail=error.message,
            )
            raise
        finally:
            attempt.total_ms = (time.monotonic() - started) * 1000

    async def _pieces(self, ingress: Ingress, attempt: Attempt, deadline: Deadline) -> AsyncGenerator[Piece]:
        """One target's answer; nothing of it is yielded before it bears content, nothing is yielded of a bad start."""
        provider = attempt.target.provider
        stream = ingress.stream or provider.dialect is not ingress.dialect
        timers = Timers(self._timeouts, deadline, stream=stream)
        key = provider.keys.choose()
        held: list[Piece] = []
        committed = complete = False
        async with AsyncExitStack() as opened:
            async with timers.headers():
                call = self._call(ingress, attempt, stream=stream, key=key)
                pieces = await opened.enter_async_context(provider.open(call))
            await opened.enter_async_context(aclosing(pieces))
            while True:
                async with timers.gap() if committed else timers.first_content():
                    piece = await anext(pieces, None)
                if piece is None:
                    break
                complete = complete or any(isinstance(event, Finished | Ended) for event in piece.events)
                if committed:
                    yield piece
                    continue
                held.append(piece)
                if _must_commit(held):
                    committed = True
                    for early in held:
                        yield early
            if not complete:
                raise ProviderError(Kind.TRUNCATED, f"{provider.name} ended its answer before it was complete.")
            if not committed:  # a complete answer without a word is an answer
                for early in held:
                    yield early

    def _call(self, ingress: Ingress, attempt: Attempt, *, stream: bool, key: ApiKey | None) -> Call:
        losses = Losses(allowed=ingress.drop_params)
        attempt.dropped, attempt.key = losses.fields, key.name if key else None
        return Call(
            ingress=ingress,
            model=attempt.target.model,
            stream=stream,
            connect_timeout=self._timeouts.connect,
            key=key,
            losses=losses,
        )


def _must_commit(held: list[Piece]) -> bool:
    if any(bears_content(event) for event in held[-1].events):
        return True
    return len(held) >= MOST_HELD_PIECES or sum(len(piece.raw) for piece in held) >= MOST_HELD_BYTES
