"""What a replica does besides: writes what its generations say, listens, keeps their leases, ends orphans."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.generations import repository
from chat_service.generations.repository import STOP
from chat_service.running.answer import error_of, said_in
from chat_service.running.errors import Interrupted
from chat_service.running.following import Following
from chat_service.running.listening import listen
from chat_service.running.runner import Runner
from shared.database import Sessions

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 4
SWEEPS_PER_LEASE = 3
FORGET_EVERY = 3600.0
"""Seconds."""
AFTER_A_FAILURE = 0.5
"""Seconds, at most, until a pass that failed is made again."""
PASS_TIMEOUT = 5.0
"""Seconds after which a pass gives up on a database that does not answer."""
LEASE_EXPIRED = error_of(Interrupted("The service that was writing this answer stopped before it was complete."))


@asynccontextmanager
async def keeping(runner: Runner, following: Following, *, sessions: Sessions) -> AsyncIterator[None]:
    """Looks after all of the runner's generations together, for as long as it is entered."""
    keeper = Keeper(runner, following, sessions=sessions)
    lease = runner.lease.total_seconds()
    tasks = [
        asyncio.create_task(work)
        for work in (
            runner.writer.run(),
            following.run(),
            listen(sessions, heard=keeper.hear, deaf=following.look_at_all),
            _repeat(keeper.renew, every=lease / RENEWALS_PER_LEASE),
            _repeat(keeper.sweep, every=lease / SWEEPS_PER_LEASE),
            _repeat(keeper.forget, every=FORGET_EVERY),
        )
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Keeper:
    """Each method is one pass, for all generations in one transaction."""

    def __init__(self, runner: Runner, following: Following, *, sessions: Sessions) -> None:
        self._runner = runner
        self._following = following
        self._sessions = sessions
        self._sweeps_from = 0.0

    def hear(self, word: str) -> None:
        """A word of a NOTIFY."""
        if word.startswith(STOP):
            self._runner.stop(word.removeprefix(STOP))
        else:
            self._following.look(word)

    async def renew(self) -> None:
        """A generation whose lease someone else has ended stops: its conversation may be going on without it."""
        ours = set(self._runner.live)
        if not ours:
            return
        async with self._sessions.begin() as session:
            renewed = await repository.renew_leases(session, ours, owner=self._runner.replica, lease=self._runner.lease)
        for generation_id in ours:
            if generation_id not in renewed:
                self._runner.interrupt(generation_id)
            elif renewed[generation_id]:
                self._runner.stop(generation_id)

    async def sweep(self) -> None:
        """Ends the generations of replicas that have died.

        After an outage of the database every lease may be over: their owners get the time of a renewal first.
        """
        now = asyncio.get_running_loop().time()
        try:
            async with self._sessions.begin() as session:
                orphans = [] if now < self._sweeps_from else await end_orphans(session)
                await session.connection()
        except Exception:
            self._sweeps_from = now + 2 * self._runner.lease.total_seconds() / RENEWALS_PER_LEASE + AFTER_A_FAILURE
            raise
        if orphans:
            log.warning("answers interrupted", message_ids=[each.message_id for each in orphans])

    async def forget(self) -> None:
        """Clears away what crashes have left of days gone by."""
        async with self._sessions.begin() as session:
            await repository.forget_days(session, datetime.now(UTC))


async def end_orphans(session: AsyncSession) -> list[repository.Orphan]:
    """Ends the generations whose lease is over, and their answers with what they have said so far."""
    orphans = await repository.take_expired(session, error=LEASE_EXPIRED)
    for orphan in orphans:
        said = said_in(orphan.events, model=orphan.model)
        await repository.bury(session, orphan, said=said, error=LEASE_EXPIRED)
    return orphans


async def _repeat(work: Callable[[], Awaitable[None]], *, every: float) -> None:
    while True:
        try:
            async with asyncio.timeout(PASS_TIMEOUT):
                await work()
        except Exception as error:  # the database may be away; the next pass does what this one could not
            log.warning("pass failed", work=work.__name__, error=repr(error))
            await asyncio.sleep(min(every, AFTER_A_FAILURE))
        else:
            await asyncio.sleep(every)
