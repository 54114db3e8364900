"""Generations of other replicas, as the readers of this one follow them."""

import asyncio
from contextlib import suppress
from weakref import WeakValueDictionary

import structlog

from chat_service.generations.repository import find_answers, read_events
from chat_service.running.errors import AnswerDeleted
from chat_service.running.feed import Feed, Place
from chat_service.running.recorded import Saved
from shared.database import Sessions, autocommitting

log = structlog.get_logger(__name__)

LOOK_EVERY = 2.0
"""Seconds after which news is looked for that no NOTIFY has told of."""
TIMEOUT = 5.0
PAUSE = 0.1


class FollowedGeneration(Feed):
    """Its events as they are read from the database."""

    def extend(self, kind: str, content: str) -> None:
        self._events.append((kind, content.encode()))

    @property
    def known(self) -> int:
        return len(self._events)


class Following:
    """One read for all that has news, however many readers there are. A feed is followed while somebody holds it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._engine = autocommitting(sessions)
        self._feeds: WeakValueDictionary[str, FollowedGeneration] = WeakValueDictionary()
        self._news: set[str] = set()
        self._wanted = asyncio.Event()

    def feed(self, place: Place) -> FollowedGeneration:
        feed = self._feeds.get(place.generation_id)
        if feed is None:
            feed = self._feeds[place.generation_id] = FollowedGeneration(place)
        self.look(place.generation_id)
        return feed

    def look(self, generation_id: str) -> None:
        """There is news of the generation."""
        if generation_id in self._feeds:
            self._news.add(generation_id)
            self._wanted.set()

    def look_at_all(self) -> None:
        """There may have been news that nobody has heard of."""
        for generation_id in list(self._feeds):
            self.look(generation_id)

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._wanted.wait()
            if not self._wanted.is_set():
                self.look_at_all()
            self._wanted.clear()
            news, self._news = self._news, set()
            feeds = {each: feed for each in news if (feed := self._feeds.get(each)) and not feed.has_ended}
            if not feeds:
                continue
            try:
                async with asyncio.timeout(TIMEOUT):
                    await self._read(feeds)
            except Exception as error:  # the database may be away: readers wait for it
                log.warning("events not read", error=repr(error))
                self._news |= feeds.keys()
                self._wanted.set()
                await asyncio.sleep(PAUSE)
            feeds.clear()  # or the last ones would be held until there is news again

    async def _read(self, feeds: dict[str, FollowedGeneration]) -> None:
        async with self._engine.connect() as connection:
            rows = await read_events(connection, {each: feed.known for each, feed in feeds.items()})
        final = set()
        for generation_id, status, sequence, kind, content in rows:
            if status != "running":
                final.add(generation_id)
            elif sequence is not None:
                feeds[generation_id].extend(kind, content)
        for feed in feeds.values():
            feed.tell(feed.known)
        for generation_id in feeds.keys() - {row[0] for row in rows}:
            feeds[generation_id].fail(AnswerDeleted("The conversation was deleted while the answer was being written."))
        if final:
            await self._end({feeds[each].place.message_id: feeds[each] for each in final})

    async def _end(self, feeds: dict[str, FollowedGeneration]) -> None:
        async with self._sessions() as session:
            answers = {message.id: message for message in await find_answers(session, feeds)}
        for message_id, feed in feeds.items():
            if message_id in answers:
                feed.end(Saved.of(answers[message_id], conversation_id=feed.place.conversation_id))
            else:
                feed.fail(AnswerDeleted("The message was deleted."))
