"""Attempts in order, until one commits: the one place where fallback is decided, for every surface."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

import structlog

from llm_service.canonical.events import Ended, Finished, Piece, bears_content
from llm_service.catalogue.service import Target
from llm_service.config import Timeouts
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError
from llm_service.providers import Call
from llm_service.routing.policy import POLICIES, RETRY_AFTER
from llm_service.routing.timers import Deadline, Timers

log = structlog.get_logger(__name__)

MOST_HELD_PIECES = 64
MOST_HELD_BYTES = 256 * 1024
"""What is held back before the first content; an attempt that says nothing for longer commits all the same."""


class AllFailed(Exception):
    """No attempt committed. `last` is the failure of the last one."""

    def __init__(self, last: ProviderError, attempts: list[dict[str, Any]]) -> None:
        super().__init__(last.message)
        self.last = last
        self.attempts = attempts


@dataclass(frozen=True, slots=True)
class Committed:
    """From here on the client sees `target`'s answer, and no other. `failed` tells of the attempts before."""

    target: Target
    is_fallback: bool
    failed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def attempts(self) -> int:
        return len(self.failed) + 1


class Engine:
    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts

    async def run(self, ingress: Ingress, targets: tuple[Target, ...]) -> AsyncGenerator[Committed | Piece]:
        """Yields Committed once, then the answer's pieces up to its end. Closing it ends the provider's work.

        Raises AllFailed before Committed, ProviderError after (the answer broke off).
        """
        asked = ingress.routing.deadline_ms
        total = self._timeouts.total
        deadline = Deadline(min(asked / 1000, total) if asked else total)
        failed: list[dict[str, Any]] = []
        waiting = deque(targets)
        retried = False
        while True:
            target = waiting[0]
            started = time.monotonic()
            committed = False
            try:
                async with aclosing(self._attempt(ingress, target, deadline)) as pieces:
                    async for piece in pieces:
                        if not committed:
                            committed = True
                            yield Committed(target, is_fallback=target is not targets[0], failed=failed)
                        yield piece
                return
            except ProviderError as error:
                if committed:
                    raise
                failed.append(_told(target, error, started))
                policy = POLICIES[error.kind]
                retried = policy.retry and not retried
                if not retried:
                    waiting.popleft()
                if not deadline.remaining or not waiting or not (retried or policy.fall_back):
                    raise AllFailed(error, failed) from error
            if retried:
                await asyncio.sleep(random.uniform(*RETRY_AFTER))  # noqa: S311 # jitter, not a secret

    async def _attempt(self, ingress: Ingress, target: Target, deadline: Deadline) -> AsyncGenerator[Piece]:
        """One target's answer; nothing of it is yielded before it bears content, nothing is yielded of a bad start."""
        dialect = target.provider.dialect
        stream = ingress.stream or dialect is not ingress.dialect
        timers = Timers(self._timeouts, deadline, stream=stream)
        call = Call(ingress=ingress, model=target.model, stream=stream, connect_timeout=self._timeouts.connect)
        held: list[Piece] = []
        committed = complete = False
        async with AsyncExitStack() as opened:
            async with timers.headers():
                pieces = await opened.enter_async_context(target.provider.open(call))
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
                raise ProviderError(Kind.TRUNCATED, f"{target.provider.name} ended its answer before it was complete.")
            if not committed:  # a complete answer without a word is an answer
                for early in held:
                    yield early


def _must_commit(held: list[Piece]) -> bool:
    if any(bears_content(event) for event in held[-1].events):
        return True
    return len(held) >= MOST_HELD_PIECES or sum(len(piece.raw) for piece in held) >= MOST_HELD_BYTES


def _told(target: Target, error: ProviderError, started: float) -> dict[str, Any]:
    """One failed attempt, for logs and for the client."""
    milliseconds = round((time.monotonic() - started) * 1000)
    log.warning("attempt failed", target=target.name, error=error.kind, status=error.status, detail=error.message)
    return {
        "provider": target.provider.name,
        "model": target.model,
        "error": error.kind.value,
        "status": error.status,
        "ms": milliseconds,
    }
