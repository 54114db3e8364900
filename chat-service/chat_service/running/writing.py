"""Writes down what all generations of a replica say, together, and only then shows it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import islice

import structlog

from chat_service.generations.repository import MOST_TOLD, write_events
from chat_service.running.live import LiveGeneration
from shared.database import Sessions, autocommitting

log = structlog.get_logger(__name__)

INTERVAL = 0.04
"""Seconds between two writes, but for the first words of an answer, which wait for nothing."""
TIMEOUT = 5.0
"""Seconds after which a write to a database that does not answer is given up, and made again."""
PAUSE = 0.1
"""Seconds before a write that failed is made again."""


class Writer:
    """One statement at a time, for all generations that have said something since the last one."""

    def __init__(self, sessions: Sessions, *, owner: str, lost: Callable[[str], None]) -> None:
        """`lost` is called with the id of a generation that is not the owner's any more."""
        self._engine = autocommitting(sessions)
        self._owner = owner
        self._lost = lost
        self._waiting: dict[str, LiveGeneration] = {}
        self._wanted = asyncio.Event()
        self._urgent = asyncio.Event()
        self._flying: frozenset[str] = frozenset()
        self._landed = asyncio.Event()
        self._written_at = 0.0

    def has_said(self, live: LiveGeneration, *, first_words: bool) -> None:
        """There is something new among its events. `first_words` do not wait for the interval."""
        self._waiting[live.id] = live
        self._wanted.set()
        if first_words:
            self._urgent.set()

    async def let_go(self, live: LiveGeneration) -> None:
        """Returns when nothing of it is being written, or will be."""
        self._waiting.pop(live.id, None)
        while live.id in self._flying:
            await self._landed.wait()
            self._waiting.pop(live.id, None)

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            await self._interval()
            batch = dict(islice(self._waiting.items(), MOST_TOLD))
            for generation_id in batch:
                del self._waiting[generation_id]
            if not self._waiting:
                self._wanted.clear()
                self._urgent.clear()
            await self._write(batch)

    async def _interval(self) -> None:
        loop = asyncio.get_running_loop()
        rest = self._written_at + INTERVAL - loop.time()
        if rest > 0 and len(self._waiting) < MOST_TOLD:
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._urgent.wait()
        self._written_at = loop.time()

    async def _write(self, batch: dict[str, LiveGeneration]) -> None:
        events = {each.id: untold for each in batch.values() if (untold := each.untold())}
        if not events:
            return
        self._flying, self._landed = frozenset(events), asyncio.Event()
        try:
            async with asyncio.timeout(TIMEOUT), self._engine.connect() as connection:
                ours = await write_events(connection, events, owner=self._owner)
        except Exception as error:  # the database may be away: what is not written is not shown, and not lost
            log.warning("events not written", error=repr(error))
            self._waiting = batch | self._waiting
            self._wanted.set()
            await asyncio.sleep(PAUSE)
            return
        finally:
            self._flying = frozenset()
            self._landed.set()
        for generation_id, untold in events.items():
            if generation_id in ours:
                batch[generation_id].tell(untold[-1][0])
            else:
                self._lost(generation_id)
