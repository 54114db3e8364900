"""The way into the ledger: a bounded queue, batches of at most 50 ms, and a file while the database is away."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog
from sqlalchemy.exc import DBAPIError

from llm_service.ledger import repository
from llm_service.ledger.records import Entry
from llm_service.ledger.spill import Spill, SpillFile
from shared.database import Sessions, ping

log = structlog.get_logger(__name__)

BATCH_SECONDS = 0.05
LARGEST_BATCH = 500
MOST_WAITING = 20_000
"""Entries in memory (about 1 KB each). More come only where neither database nor disk takes any: those are lost."""
PATIENCE = 2.0
"""Seconds that the database gets for a batch before it is written to disk instead, and that a request waits at most."""
LAST_PATIENCE = 0.7
"""Seconds that the database gets for all that is left when the process ends."""
ASK_AGAIN = (0.5, 5.0)
"""Seconds before a database that was away is asked again: at first, and at most."""
LOOK_ROUND = 30.0
"""Seconds between looks for files of processes that are gone."""
REFUSALS = ("22", "23")
"""Classes of SQLSTATE that say that the entry is wrong. Whatever else goes wrong may be right the next time."""


class _Waiting(msgspec.Struct, eq=False):
    entry: Entry
    durable: "asyncio.Future[None] | None" = None
    since: float = msgspec.field(default_factory=time.monotonic)


class Ledger:
    """One per process. `append` neither waits nor fails; what `written` has returned for is durable."""

    def __init__(self, sessions: Sessions, *, directory: Path) -> None:
        self._sessions = sessions
        self._spill = Spill(directory)
        self._queue: deque[_Waiting] = deque()
        self._some = asyncio.Event()
        self._urgent = asyncio.Event()
        self._away = asyncio.Event()
        self._ends_at: float | None = None
        self._ended = False
        self.lost = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Ledger"]:
        """Writes while the block lasts; when it ends, what is left is in the database or on disk."""
        writing = asyncio.create_task(self._write())
        replaying = asyncio.create_task(self._replay())
        try:
            yield self
        finally:
            self._ends_at = time.monotonic() + LAST_PATIENCE
            self._some.set()
            self._urgent.set()
            replaying.cancel()
            await asyncio.gather(writing, replaying, return_exceptions=True)
            self._spill.close()
            self._ended = True

    @property
    def lag(self) -> float:
        """Seconds for which the oldest entry in memory has been waiting."""
        return time.monotonic() - self._queue[0].since if self._queue else 0.0

    @property
    def waiting(self) -> int:
        """Entries in memory."""
        return len(self._queue)

    @property
    def spilled(self) -> int:
        """Entries of this process that wait on disk."""
        return self._spill.waiting

    @property
    def problem(self) -> str | None:
        """For health: usage that is not in the database yet, or never will be."""
        told = []
        if self._spill.waiting:
            told.append(f"{self._spill.waiting} requests wait on disk for the database: usage is behind")
        if self.lag > 1:
            told.append(f"the ledger is {self.lag:.0f} s behind")
        if self.lost:
            told.append(f"{self.lost} requests are lost to the ledger: see the log")
        return "; ".join(told) or None

    def append(self, entry: Entry) -> None:
        self._add(_Waiting(entry))

    async def written(self, entry: Entry) -> None:
        """Returns when the entry is in the database or on disk; after PATIENCE in any case, with it under way."""
        durable = asyncio.get_running_loop().create_future()
        self._add(_Waiting(entry, durable))
        self._urgent.set()
        await asyncio.wait([durable], timeout=PATIENCE)

    def _add(self, waiting: _Waiting) -> None:
        if self._ended:  # a request that was cut off with its process, and comes to its end after the ledger
            self._store_late(waiting.entry)
            return
        if len(self._queue) >= MOST_WAITING:
            self.lost += 1
            log.error("an entry is lost to the ledger: its queue is full", id=str(waiting.entry.id), lost=self.lost)
            return
        self._queue.append(waiting)
        self._some.set()

    def _store_late(self, entry: Entry) -> None:
        """To disk at once; it blocks the loop, in which nothing else happens any more."""
        try:
            self._spill.store([entry])
        except OSError as error:
            self.lost += 1
            log.error("the process ends and an entry is lost to the ledger", id=str(entry.id), error=repr(error))
        self._spill.close()

    async def _write(self) -> None:
        while True:
            await self._some.wait()
            if not self._queue:
                if self._ends_at is not None:
                    return
                self._some.clear()
                continue
            await self._gather()
            if not await self._store_batch():
                if self._ends_at is not None:
                    self.lost += len(self._queue)
                    log.error("the process ends and entries are lost to the ledger", lost=self.lost)
                    return
                await asyncio.sleep(BATCH_SECONDS)

    async def _gather(self) -> None:
        """Returns when the batch is full or urgent, or its first entry has waited long enough."""
        left = BATCH_SECONDS - self.lag
        if len(self._queue) < LARGEST_BATCH and left > 0:
            await _within(left, self._urgent)
        if self._ends_at is None:
            self._urgent.clear()

    async def _store_batch(self) -> bool:
        """Whether it is in the database or on disk; it stays in the queue until then."""
        batch = [self._queue[number] for number in range(min(LARGEST_BATCH, len(self._queue)))]
        entries = [waiting.entry for waiting in batch]
        if not await self._in_database(entries) and not await self._on_disk(entries):
            return False
        for waiting in batch:
            self._queue.popleft()
            if waiting.durable is not None and not waiting.durable.done():
                waiting.durable.set_result(None)
        return True

    async def _in_database(self, entries: Sequence[Entry]) -> bool:
        patience = PATIENCE if self._ends_at is None else self._ends_at - time.monotonic()
        if self._away.is_set() or patience <= 0:
            return False
        try:
            await self._commit(entries, patience=patience)
        except Exception as error:  # whatever it is, the entries are safe on disk
            log.warning("the ledger goes to disk", error=repr(error))
            return False
        return True

    async def _on_disk(self, entries: Sequence[Entry]) -> bool:
        try:
            await asyncio.to_thread(self._spill.store, entries)
        except OSError as error:
            log.error("the ledger cannot be written to disk", error=repr(error))
            return False
        finally:
            self._away.set()
        return True

    async def _commit(self, entries: Sequence[Entry], *, patience: float) -> None:
        """An entry that is wrong is set aside; what else is raised says that the database is not able."""
        try:
            async with asyncio.timeout(patience), self._sessions.begin() as session:
                await repository.append(session, entries)
        except DBAPIError as error:
            if not str(getattr(error.orig, "sqlstate", None)).startswith(REFUSALS):
                raise
            if len(entries) > 1:
                for entry in entries:
                    await self._commit([entry], patience=patience)
                return
            self.lost += 1
            log.error("the database refuses an entry of the ledger", id=str(entries[0].id), error=repr(error))
            await asyncio.to_thread(self._spill.set_aside, entries[0], why=repr(error))

    async def _replay(self) -> None:
        """Brings what is on disk into the database: after an outage, and what other processes left behind."""
        first, longest = ASK_AGAIN
        wait = first
        while True:
            try:
                await ping(self._sessions)  # which also opens the first connection before anybody needs it
                waiting = await asyncio.to_thread(self._spill.close)
                for path in await asyncio.to_thread(self._spill.left_behind):
                    await self._replay_file(path)
            except Exception as error:  # whatever it is, the files are still there
                log.warning("the ledger's files stay on disk", error=repr(error))
                self._away.set()
                wait = min(longest, 2 * wait)
                await asyncio.sleep(wait)
                continue
            self._spill.waiting -= waiting
            self._away.clear()
            wait = first
            if not self._spill.waiting:
                await _within(LOOK_ROUND, self._away)
                await asyncio.sleep(first)

    async def _replay_file(self, path: Path) -> None:
        file = await asyncio.to_thread(SpillFile.take_over, path)
        if file is None:
            return  # another process sees to it
        try:
            for entries in file.entries(at_once=LARGEST_BATCH):
                await self._commit(entries, patience=5 * PATIENCE)
        except BaseException:
            file.close()
            raise
        file.remove()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Waits for the event, but no longer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
