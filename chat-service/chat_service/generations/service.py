"""Reading a generation's events, from wherever a reader was left, and stopping it."""

import asyncio
import re
from contextlib import suppress

from chat_service.generations import repository
from chat_service.generations.errors import GenerationNotFound
from chat_service.running.feed import Feed, Place
from chat_service.running.following import Following
from chat_service.running.recorded import Saved
from chat_service.running.runner import Runner
from shared.auth import Principal
from shared.database import Sessions

STOPPING = 5.0
"""Seconds that the owner of a generation gets to stop it while the caller waits."""
_GENERATION_ID = re.compile(r"gen_[0-9a-f]{32}")


class GenerationService:
    """Any replica does this for any generation."""

    def __init__(self, sessions: Sessions, runner: Runner, following: Following) -> None:
        self._sessions = sessions
        self._runner = runner
        self._following = following

    async def feed(self, generation_id: str, *, reader: Principal) -> Feed:
        """Raises GenerationNotFound, also for what belongs to someone else."""
        if live := self._runner.live.get(generation_id):
            if (live.place.organization_id, live.place.user_id) != (reader.organization_id, reader.user_id):
                raise GenerationNotFound
            return live
        if not _GENERATION_ID.fullmatch(generation_id):
            raise GenerationNotFound
        async with self._sessions.begin() as session:
            found = await repository.find_generation(session, generation_id, owner=reader)
        if found is None:
            raise GenerationNotFound
        _, message, conversation_id = found
        place = Place(
            generation_id=generation_id,
            message_id=message.id,
            conversation_id=conversation_id,
            organization_id=reader.organization_id,
            user_id=reader.user_id,
        )
        if message.status == "running":
            return self._following.feed(place)
        return Feed.of_saved(place, Saved.of(message, conversation_id=conversation_id))

    async def stop(self, generation_id: str, *, owner: Principal) -> Feed:
        """Asks the replica that runs it, and waits a while for its end. Raises GenerationNotFound."""
        feed = await self.feed(generation_id, reader=owner)
        if not feed.has_ended:
            async with self._sessions.begin() as session:
                await repository.request_stop(session, generation_id, owner=owner)
            with suppress(TimeoutError):
                await asyncio.wait_for(feed.ended(), STOPPING)
        return feed
