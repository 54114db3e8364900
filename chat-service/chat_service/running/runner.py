"""Runs generations in tasks of the service's own, so that no client's leaving ends one."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.generations import repository
from chat_service.running.answer import clean
from chat_service.running.errors import AnswerDeleted, AnswerFailed, Draining, Interrupted, NotSaved
from chat_service.running.live import LiveGeneration
from chat_service.running.recorded import Saved
from chat_service.running.trail import Spoken
from chat_service.running.writing import Writer
from shared import drain
from shared.auth import Principal
from shared.clients.llm import LlmClient
from shared.database import Sessions, autocommitting
from shared.errors import BadGateway, DomainError
from shared.events import Done, Failed
from shared.ids import new_id

log = structlog.get_logger(__name__)

SAVING = 60.0
"""Seconds for which an ended answer is kept in memory while the database is away."""
SAVE_TIMEOUT = 5.0
LONGEST_PAUSE = 1.0
"""Seconds between two attempts to save."""
CLOSING = 0.7
"""Seconds that interrupted answers get to be saved when the service ends."""


class Runner:
    """The generations that this replica owns."""

    def __init__(self, *, sessions: Sessions, llm: LlmClient, lease: timedelta) -> None:
        self.replica = new_id("replica")
        self.lease = lease
        self.live: dict[str, LiveGeneration] = {}
        self.writer = Writer(sessions, owner=self.replica, lost=self.interrupt)
        self._sessions = sessions
        self._engine = autocommitting(sessions)
        self._llm = llm
        self._stopped: set[str] = set()
        self._readings: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining: asyncio.Task[None] | None = None
        self._over = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Leaving ends all generations: after `drain.PATIENCE` where the process is draining, at once otherwise."""
        forget = drain.on_begin(self._drain)
        try:
            yield
        finally:
            forget()
            await self._close()

    def check_accepting(self) -> None:
        """Raises Draining where a new generation would not live long."""
        if self._over or self._draining is not None:
            raise Draining("The service is stopping; try again in a moment.", retry_after=5)

    def start(self, live: LiveGeneration, request: Mapping[str, Any], *, principal: Principal, request_id: str) -> None:
        """Begins the work for a generation whose row is committed and names this replica as its owner."""
        reading = asyncio.create_task(self._read(live, request, principal=principal, request_id=request_id))
        self.live[live.id] = live
        self._readings[live.id] = reading
        task = asyncio.create_task(self._run(live, reading))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._over:
            reading.cancel()

    def interrupt(self, generation_id: str) -> None:
        """Ends a generation with the text so far; one that is past its last event is left to its end."""
        if reading := self._readings.get(generation_id):
            reading.cancel()

    def stop(self, generation_id: str) -> None:
        """Ends a generation because its user wants it to; nothing where this replica does not run it."""
        if generation_id in self._readings:
            self._stopped.add(generation_id)
            self.interrupt(generation_id)

    async def _run(self, live: LiveGeneration, reading: asyncio.Task[None]) -> None:
        try:
            await asyncio.wait({reading})
            await self._end(live, *self._how_it_ended(live, reading))
        finally:
            reading.cancel()
            del self.live[live.id], self._readings[live.id]
            self._stopped.discard(live.id)

    async def _read(
        self, live: LiveGeneration, request: Mapping[str, Any], *, principal: Principal, request_id: str
    ) -> None:
        """Returns when the answer is complete. Raises what ended it early."""
        async with (
            self._llm.completion(request, principal=principal, request_id=request_id) as stream,
            aclosing(stream) as events,
        ):
            async for event in events:
                clean(event)
                match event:
                    case Done():
                        live.answer.conclude(event)
                        return
                    case Failed():
                        raise AnswerFailed(event)
                    case _:
                        self._take(live, event)
        raise BadGateway("The llm service broke its answer off.")

    def _take(self, live: LiveGeneration, event: Spoken) -> None:
        spoke = live.has_spoken
        live.take(event)
        self.writer.has_said(live, first_words=live.has_spoken and not spoke)

    async def _end(self, live: LiveGeneration, status: str, problem: DomainError | None) -> None:
        """Saves the answer, then tells the readers: whoever reads `done` finds the whole answer saved."""
        not_saved = NotSaved("The database did not take the end of the answer.")
        try:
            ours, saved = await self._save(live, status, problem)
        except asyncio.CancelledError:
            live.fail(not_saved)
            raise
        except Exception:  # whatever it is, it has been tried for long enough
            log.exception("answer not saved", generation_id=live.id, message_id=live.place.message_id)
            live.fail(not_saved)
            return
        if ours:
            live.tell(live.seal())  # the end has committed what the writer had not
        if saved is not None:
            live.end(saved, problem=problem if ours else None)
        else:
            live.fail(AnswerDeleted("The conversation was deleted while the answer was being written."))

    async def _save(self, live: LiveGeneration, status: str, problem: DomainError | None) -> tuple[bool, Saved | None]:
        """Tries for SAVING seconds rather than lose the answer.

        Returns whether it ended so, and the answer as it is now: another replica may have ended it. It is None where
        the message was deleted.
        """
        await self.writer.let_go(live)
        live.seal()
        said, outcome = live.answer.said(), live.answer.outcome(status, problem)
        loop = asyncio.get_running_loop()
        give_up_at, pause = loop.time() + SAVING, 0.05
        while True:
            try:
                async with asyncio.timeout(SAVE_TIMEOUT), AsyncSession(self._engine) as session:
                    ours = await repository.finish(session, live.id, owner=self.replica, said=said, outcome=outcome)
                    message = ours or next(iter(await repository.find_answers(session, [live.place.message_id])), None)
                if message is None:
                    return False, None
                saved = Saved.of(message, conversation_id=live.place.conversation_id)
                return (saved.view.status, saved.trail) == (status, said["trail"]), saved
            except Exception as error:  # drivers raise more kinds than they document while a server restarts
                if loop.time() > give_up_at:
                    raise
                log.warning("answer not saved yet", generation_id=live.id, error=repr(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _how_it_ended(self, live: LiveGeneration, reading: asyncio.Task[None]) -> tuple[str, DomainError | None]:
        """The status of the message, and what its readers are told; after the model's `done` nothing can spoil it."""
        error = asyncio.CancelledError() if reading.cancelled() else reading.exception()
        if live.answer.is_concluded:
            return "completed", None
        match error:
            case asyncio.CancelledError() if live.id in self._stopped:
                return "stopped", None
            case asyncio.CancelledError():
                return "interrupted", Interrupted("The service stopped before the answer was complete.", retry_after=5)
            case DomainError():
                return "failed", error
            case _:
                log.error("generation broke", exc_info=error)
                return "failed", DomainError("This is our fault; the request id finds it in the logs.")

    def _drain(self) -> None:
        if self._draining is None:
            self._draining = asyncio.create_task(self._end_patiently())

    async def _end_patiently(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=drain.PATIENCE)
        self._interrupt_all()

    def _interrupt_all(self) -> None:
        self._over = True
        for generation_id in self.live:
            self.interrupt(generation_id)

    async def _close(self) -> None:
        if self._draining is None:
            self._interrupt_all()
        else:
            await self._draining
        if not self._tasks:
            return
        _, unsaved = await asyncio.wait(self._tasks, timeout=CLOSING)
        for task in unsaved:
            task.cancel()
        await asyncio.gather(*unsaved, return_exceptions=True)
