"""What is to be told of one generation, to as many readers as there are, wherever it runs."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from chat_service.messages.schemas import MessageView
from chat_service.running.recorded import EndedEarly, Saved
from shared.errors import DomainError
from shared.events import Failed, encode_event, frame_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which generation it is, of which answer, and whose."""

    generation_id: str
    message_id: str
    conversation_id: str
    organization_id: str
    user_id: str


class Feed:
    """The events from the first on. Every reader walks the one list at its own pace, so a slow one costs nothing.

    Readers see what is committed (`told` of the events), then how it ended: as it is saved, the same for everybody.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.told = 0
        self._events: list[tuple[str, bytes]] = []
        self._news = asyncio.Event()
        self._saved: Saved | None = None
        self._problem: DomainError | None = None

    @classmethod
    def of_saved(cls, place: Place, saved: Saved) -> "Feed":
        """One that has ended long ago."""
        feed = cls(place)
        feed.end(saved)
        return feed

    @property
    def has_ended(self) -> bool:
        return self._saved is not None or self._problem is not None

    def has_nothing_after(self, sequence: int) -> bool:
        """Whether that is the terminal event's sequence, or beyond it."""
        return self._saved is not None and sequence >= self._saved.last_sequence

    def tell(self, count: int) -> None:
        """Shows the events up to the sequence `count`."""
        if count > self.told:
            self.told = count
            self._wake()

    def end(self, saved: Saved, *, problem: DomainError | None = None) -> None:
        """`problem` is what the sender is told in place of what the answer keeps of it."""
        if not self.has_ended:
            self._saved, self._problem = saved, problem
            if problem is None and saved.view.error is not None:
                self._problem = EndedEarly(saved.view.error)
            self._blame()
            self._wake()

    def fail(self, problem: DomainError) -> None:
        """To be called where nothing is saved: it could not be, or it was deleted."""
        if not self.has_ended:
            self._problem = problem
            self._blame()
            self._wake()

    async def ended(self) -> None:
        while not self.has_ended:
            await self._news.wait()

    async def message(self) -> MessageView:
        """The whole answer, when it is saved. Raises what ended it early."""
        await self.ended()
        if self._problem is not None:
            raise self._problem
        assert self._saved is not None
        return self._saved.view

    async def frames(self, after: int = 0) -> AsyncGenerator[bytes]:
        """Those that follow the sequence `after`, as they come, up to the terminal one."""
        sent = after
        while True:
            news = self._news
            while sent < self.told:
                kind, content = self._events[sent]
                sent += 1
                yield frame_of(kind, content, sequence=sent)
            if self.has_ended:
                break
            await news.wait()
        if self._saved is None:
            assert self._problem is not None
            yield self.error_frame(self._problem, sequence=sent + 1)
            return
        for frame in self._saved.frames(after=sent):
            yield frame

    async def frames_of_answer(self) -> AsyncGenerator[bytes]:
        """All frames, for who has sent the message. Raises what came instead of an answer."""
        while not self.told and not self.has_ended:
            await self._news.wait()
        if self._problem is not None and not self.told and not (self._saved and self._saved.has_words):
            raise self._problem
        async for frame in self.frames():
            yield frame

    def error_frame(self, problem: DomainError, *, sequence: int | None = None) -> bytes:
        """A terminal frame; without `sequence`, that of a reader who has been told all there is."""
        failed = Failed(
            code=problem.code,
            detail=problem.detail,
            status=problem.status,
            message_id=self.place.message_id,
            generation_id=self.place.generation_id,
        )
        return encode_event(failed, sequence=self.told + 1 if sequence is None else sequence)

    def _blame(self) -> None:
        if self._problem is not None:
            ids = ("conversation_id", "message_id", "generation_id")
            self._problem.extra.update({name: getattr(self.place, name) for name in ids})

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
