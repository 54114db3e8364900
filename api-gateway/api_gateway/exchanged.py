"""Credentials of others, exchanged for our tokens at auth-service and remembered for a short while."""

import asyncio
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

import structlog

from shared.clients.auth import AuthClient
from shared.errors import DomainError, Unauthorized, Unavailable

log = structlog.get_logger(__name__)

FRESH_FOR = 60.0
"""Seconds for which an exchanged token is used again; what changes about a key is in force after that."""
REFUSED_FOR = 5.0
"""Seconds for which a credential that was refused is refused again without asking."""
REMEMBERED = 10_000
REMEMBERED_REFUSALS = 1_000
"""They are kept apart, so that no flood of invented keys drives the real ones out."""
AT_ONCE = 8
"""Credentials of one kind that auth-service is asked for at a time: a flood of invented keys leaves it connections to
the database for all others. Of one kind, because another issuer that is slow is no reason to wait with API keys."""
MOST_WAITING = 512
"""Of one kind; who comes then is told to come again."""


class ExchangedTokens:
    """Asks once for a credential however many requests show it at the same time. Keeps digests, no credentials."""

    def __init__(self, auth: AuthClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._auth = auth
        self._clock = clock
        self._tokens: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[str]] = {}
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
        self._waiting: Counter[str] = Counter()

    async def token_for(self, credential: str, *, kind: str) -> str:
        """Raises Unauthorized, or Unavailable where auth-service does not answer, or too many ask, and nothing is
        remembered."""
        digest = _digest(credential, kind)
        if (token := self._remembered(digest)) is not None:
            return token
        if self._clock() < self._refused.get(digest, -1):
            raise _refusal()
        task = self._asking.get(digest)
        if task is None:
            if self._waiting[kind] >= MOST_WAITING:
                raise Unavailable("Too many credentials are checked at this moment.")
            task = asyncio.create_task(self._ask_in_turn(digest, credential, kind))
            self._asking[digest] = task
            self._waiting[kind] += 1
            task.add_done_callback(lambda done: self._answered(digest, kind, done))
        return await asyncio.shield(task)  # a client that leaves does not take the answer from the others

    def forget(self, credential: str, *, kind: str) -> None:
        """The token that it was exchanged for does not hold any more."""
        self._tokens.pop(_digest(credential, kind), None)

    def _remembered(self, digest: bytes) -> str | None:
        found = self._tokens.get(digest)
        if found is None:
            return None
        token, until = found
        if self._clock() >= until:
            del self._tokens[digest]
            return None
        self._tokens.move_to_end(digest)
        return token

    def _answered(self, digest: bytes, kind: str, task: asyncio.Task[str]) -> None:
        del self._asking[digest]
        self._waiting[kind] -= 1
        if not task.cancelled():
            task.exception()  # nobody may be left to hear of it

    async def _ask_in_turn(self, digest: bytes, credential: str, kind: str) -> str:
        async with self._turns[kind]:
            return await self._ask(digest, credential, kind)

    async def _ask(self, digest: bytes, credential: str, kind: str) -> str:
        asked_at = self._clock()
        try:
            exchanged = await self._auth.exchange(credential, kind=kind)
        except DomainError as error:
            if error.code in ("subject_token_refused", "unsupported_subject_token_type"):
                _remember(self._refused, digest, self._clock() + REFUSED_FOR, at_most=REMEMBERED_REFUSALS)
                raise _refusal() from None
            log.warning("a credential cannot be exchanged", error=error.code, detail=error.detail)
            raise Unavailable("The credential cannot be checked: auth-service does not answer.") from error
        until = asked_at + min(FRESH_FOR, exchanged.expires_in)
        _remember(self._tokens, digest, (exchanged.access_token, until), at_most=REMEMBERED)
        return exchanged.access_token


Kept = TypeVar("Kept")


def _remember(known: OrderedDict[bytes, Kept], digest: bytes, kept: Kept, *, at_most: int) -> None:
    known[digest] = kept
    known.move_to_end(digest)
    while len(known) > at_most:
        known.popitem(last=False)


def _digest(credential: str, kind: str) -> bytes:
    return sha256(f"{kind}\0{credential}".encode()).digest()


def _refusal() -> Unauthorized:
    return Unauthorized("The credential is not known here, or does not hold any more.", error="invalid_token")
