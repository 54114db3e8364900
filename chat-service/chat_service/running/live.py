"""A generation of this replica's own, while it runs."""

from chat_service.running.answer import Answer
from chat_service.running.feed import Feed, Place
from chat_service.running.trail import Spoken
from shared.events import Delta, Reasoning, Start, event_data


class LiveGeneration(Feed):
    """Collects what the model says; readers see of it what the writer has committed.

    Pieces of text that come between two writes are one event: they would reach readers at the same moment anyway.
    """

    def __init__(self, place: Place, *, model: str | None) -> None:
        super().__init__(place)
        self.answer = Answer(model=model)
        self.has_spoken = False
        """Whether the model has said more than who it is."""
        self._fresh: list[Spoken] = []

    @property
    def id(self) -> str:
        return self.place.generation_id

    def take(self, event: Spoken) -> None:
        """Raises AnswerTooLong, and leaves the event out."""
        self.answer.take(event)
        if isinstance(event, Start):
            event.id, event.conversation_id = self.place.message_id, self.place.conversation_id
        event.generation_id = self.id
        self.has_spoken = self.has_spoken or not isinstance(event, Start)
        self._fresh.append(event)

    def seal(self) -> int:
        """Makes events of what has come since the last time; returns the sequence of the newest, shown or not."""
        for event in _joined(self._fresh):
            self.answer.follow(event)
            self._events.append(event_data(event))
        self._fresh.clear()
        return len(self._events)

    def untold(self) -> list[tuple[int, str, bytes]]:
        """The events that nobody has seen: sequence, type, JSON."""
        return [(number + 1, *self._events[number]) for number in range(self.told, self.seal())]


def _joined(events: list[Spoken]) -> list[Spoken]:
    """The same with neighbours of text, and of reasoning, as one event."""
    joined: list[Spoken] = []
    pieces: list[str] = []
    for event in events:
        last = joined[-1] if joined else None
        match event, last:
            case Delta(), Delta():
                pieces.append(event.content)
            case Reasoning(), Reasoning():
                pieces.append(event.reasoning)
            case _:
                _complete(last, pieces)
                joined.append(event)
    _complete(joined[-1] if joined else None, pieces)
    return joined


def _complete(event: Spoken | None, pieces: list[str]) -> None:
    """Adds what followed to the first of its kind."""
    match event:
        case Delta():
            event.content += "".join(pieces)
        case Reasoning():
            event.reasoning += "".join(pieces)
    pieces.clear()
