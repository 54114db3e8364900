"""What a replica does besides: writes down what its generations have said, keeps their leases, ends orphans."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from chat_service.generations import repository
from chat_service.running.answer import error_of
from chat_service.running.errors import Interrupted
from chat_service.running.runner import Runner
from shared.database import Sessions

log = structlog.get_logger(__name__)

CHECKPOINT_EVERY = 0.5
"""Seconds; a crash loses at most what was said in the last of them (and in the write that did not finish)."""
RENEWALS_PER_LEASE = 4
SWEEPS_PER_LEASE = 3
PASS_TIMEOUT = 5.0
"""Seconds after which a pass gives up on a database that does not answer."""
LEASE_EXPIRED = error_of(Interrupted("The service that was writing this answer stopped before it was complete."))


@asynccontextmanager
async def keeping(runner: Runner, *, sessions: Sessions) -> AsyncIterator[None]:
    """Looks after all of the runner's generations together, for as long as it is entered."""
    keeper = Keeper(runner, sessions=sessions)
    lease = runner.lease.total_seconds()
    tasks = [
        asyncio.create_task(_repeat(keeper.renew, every=lease / RENEWALS_PER_LEASE)),
        asyncio.create_task(_repeat(keeper.checkpoint, every=CHECKPOINT_EVERY)),
        asyncio.create_task(_repeat(keeper.sweep, every=lease / SWEEPS_PER_LEASE)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Keeper:
    """Each method is one pass, for all generations in one transaction."""

    def __init__(self, runner: Runner, *, sessions: Sessions) -> None:
        self._runner = runner
        self._sessions = sessions
        self._saved: dict[str, int] = {}

    async def renew(self) -> None:
        """A generation whose lease someone else has ended stops: its conversation may be going on without it."""
        ours = set(self._runner.live)
        if not ours:
            return
        async with self._sessions.begin() as session:
            renewed = await repository.renew_leases(session, ours, owner=self._runner.replica, lease=self._runner.lease)
        for generation_id in ours - renewed:
            self._runner.interrupt(generation_id)

    async def checkpoint(self) -> None:
        """Writes the answers that have changed since the last pass."""
        live = self._runner.live.values()
        revisions = {each.message_id: each.answer.revision for each in live}
        changed = {
            each.message_id: each.answer.said()
            for each in live
            if each.answer.revision > self._saved.get(each.message_id, 0)
        }
        if changed:
            async with self._sessions.begin() as session:
                await repository.checkpoint(session, changed)
        self._saved = revisions

    async def sweep(self) -> None:
        """Ends the generations of replicas that have died."""
        async with self._sessions.begin() as session:
            interrupted = await repository.interrupt_expired(session, error=LEASE_EXPIRED)
        if interrupted:
            log.warning("answers interrupted", message_ids=interrupted)


async def _repeat(work: Callable[[], Awaitable[None]], *, every: float) -> None:
    while True:
        try:
            async with asyncio.timeout(PASS_TIMEOUT):
                await work()
        except Exception as error:  # the database may be away; the next pass does what this one could not
            log.warning("pass failed", work=work.__name__, error=repr(error))
        await asyncio.sleep(every)
