"""A generation of this replica's own, while it runs."""

from chat_service.running.answer import Answer
from chat_service.running.feed import Feed, Place
from chat_service.running.trail import Spoken
from shared.events import Start, event_data


class LiveGeneration(Feed):
    """Collects what the model says; readers see of it what the writer has committed."""

    def __init__(self, place: Place, *, model: str | None) -> None:
        super().__init__(place)
        self.answer = Answer(model=model)
        self.has_spoken = False
        """Whether there is more among the events than the start."""

    @property
    def id(self) -> str:
        return self.place.generation_id

    @property
    def said(self) -> int:
        """The sequence of the newest event, shown or not."""
        return len(self._events)

    def take(self, event: Spoken) -> None:
        """Raises AnswerTooLong, and leaves the event out."""
        self.answer.take(event)
        if isinstance(event, Start):
            event.id, event.conversation_id = self.place.message_id, self.place.conversation_id
        event.generation_id = self.id
        self.has_spoken = self.has_spoken or not isinstance(event, Start)
        self._events.append(event_data(event))

    def untold(self) -> list[tuple[int, str, bytes]]:
        """The events that nobody has seen: sequence, type, JSON."""
        return [(number + 1, *self._events[number]) for number in range(self.told, len(self._events))]
