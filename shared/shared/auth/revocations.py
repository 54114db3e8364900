"""What stopped counting before it expired, as every process knows it: auth-service's feed, followed."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import structlog

from shared.auth.principal import Principal

log = structlog.get_logger(__name__)

LONGEST_LIFE = 15 * 60
"""Seconds that any access token lasts at most."""
KEPT_FOR = LONGEST_LIFE + 120
"""Seconds after which a revocation is of no use: every token that it ended has expired, on any clock of ours."""
POLL_EVERY = 2.0
ASK_FIRST_EVERY = 0.25
"""Seconds, at the pace of a start: until the first news, for as long as STARTED_WITHIN."""
STARTED_WITHIN = 10.0
"""Seconds in which an auth-service that is started with us answers: until then its silence is nothing to tell."""
POLL_TIMEOUT = 2.0
"""Seconds; together less than the five within which a revocation is in force everywhere."""
STALE_AFTER = 15.0
"""Seconds without news after which health says so."""
READ_ANEW_EVERY = 30
"""Polls after which everything is read again: a database that was restored counts on from an earlier number."""
PAGE = 1000


class Revocation(msgspec.Struct, frozen=True):
    """Tokens of `subject` that were issued until `revoked_at` (seconds since the epoch) do not count any more."""

    sequence: int
    subject: str
    revoked_at: float


class RevocationFeed(ABC):
    """Where news of revocations comes from."""

    @abstractmethod
    async def revocations(self, *, after: int, limit: int) -> Sequence[Revocation]:
        """The first `limit` with a higher sequence number, in order. Raises whatever keeps it from telling."""


class Revocations:
    """What this process knows. What is of no use any more is forgotten, so it holds minutes of revocations at most."""

    def __init__(self) -> None:
        self._revoked_at: dict[str, int] = {}
        self._heard_at = time.monotonic()

    def __len__(self) -> int:
        return len(self._revoked_at)

    @property
    def age(self) -> float:
        """Seconds since the last news, or the last confirmation that there are none."""
        return time.monotonic() - self._heard_at

    @property
    def problem(self) -> str | None:
        """What health has to tell."""
        if self.age <= STALE_AFTER:
            return None
        return f"what was revoked in the last {self.age:.0f} s is not known: auth-service does not tell"

    def is_revoked(self, principal: Principal) -> bool:
        if not self._revoked_at:
            return False
        issued_at, revoked_at = principal.issued_at, self._revoked_at
        for subject in principal.subjects:  # noqa: SIM110 # every request comes by here: any() costs three times as much
            if issued_at <= revoked_at.get(subject, -1):
                return True
        return False

    def learn(self, revocations: Sequence[Revocation]) -> None:
        """Tokens say in whole seconds when they were issued: all of the second of a revocation are ended."""
        for each in revocations:
            known = self._revoked_at.pop(each.subject, 0)  # the newest stand last
            self._revoked_at[each.subject] = max(known, int(each.revoked_at))

    def heard(self) -> None:
        """The feed has told everything up to now."""
        self._heard_at = time.monotonic()
        useless = time.time() - KEPT_FOR
        while self._revoked_at:
            oldest = next(iter(self._revoked_at))
            if self._revoked_at[oldest] >= useless:
                break
            del self._revoked_at[oldest]


class Follower:
    """Asks the feed again and again. While it does not answer, what is known stays known."""

    def __init__(self, feed: RevocationFeed, revocations: Revocations) -> None:
        self._feed = feed
        self._revocations = revocations
        self._after = 0
        self._polls = 0
        self._is_cut_off = False
        self._is_starting = True

    async def follow(self, asked: asyncio.Event) -> None:
        """Never returns; `asked` is set when the first answer has come, or has not."""
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            await self._poll()
            asked.set()
            pace = ASK_FIRST_EVERY if self._is_starting else POLL_EVERY
            await asyncio.sleep(max(0.0, pace - (clock() - started)))

    async def _poll(self) -> None:
        if self._polls % READ_ANEW_EVERY == 0:
            self._after = 0
        self._polls += 1
        try:
            async with asyncio.timeout(POLL_TIMEOUT):
                while await self._read_page() == PAGE:
                    pass
        except Exception as error:  # whatever it is, the next poll asks again, and health tells the age
            self._is_starting = self._is_starting and self._revocations.age < STARTED_WITHIN
            if self._is_starting:
                return
            if not self._is_cut_off:
                log.warning("no news of revocations", error=repr(error))
            self._is_cut_off = True
            return
        if self._is_cut_off:
            log.info("news of revocations again", after_seconds=round(self._revocations.age, 1))
        self._is_cut_off = self._is_starting = False
        self._revocations.heard()

    async def _read_page(self) -> int:
        page = await self._feed.revocations(after=self._after, limit=PAGE)
        self._revocations.learn(page)
        if page:
            self._after = page[-1].sequence
        return len(page)


@asynccontextmanager
async def following(feed: RevocationFeed) -> AsyncIterator[Revocations]:
    """What the feed tells, for as long as the block lasts. It is entered when the feed was asked once, for better
    or worse: a process that starts again knows what the one before it knew."""
    revocations = Revocations()
    asked = asyncio.Event()
    task = asyncio.create_task(Follower(feed, revocations).follow(asked))
    try:
        await asked.wait()
        yield revocations
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
