"""What may be left out of a conversation, and in which order, so that what stays is one that every provider takes."""

from dataclasses import dataclass

from llm_service.canonical.request import Message, ToolResult
from llm_service.canonical.tokens import message_tokens
from llm_service.dialects.ingress import Ingress, Strategy


@dataclass(frozen=True, slots=True)
class Line:
    """One message, by its place among the client's; `tokens` about."""

    place: int
    meaning: Message
    tokens: int

    @property
    def instructs(self) -> bool:
        return self.meaning.role == "system"

    @property
    def answers_calls(self) -> bool:
        return any(isinstance(part, ToolResult) for part in self.meaning.parts)

    @property
    def asks(self) -> bool:
        return self.meaning.role == "user" and not self.answers_calls


Unit = tuple[Line, ...]
"""Messages that stay together or go together: calls and their results, or a whole turn."""


def droppable(ingress: Ingress, strategy: Strategy) -> list[Unit]:
    """Units in the order in which they go. Raises Unprocessable where the messages cannot be understood.

    What never goes: instructions, wherever they stand; the last message of the user; the last thing after it. Turns
    that are over go whole, so that a conversation begins with its user; of the turn that runs, single rounds of calls
    with their results go. Nothing inside a message is touched, so signed thoughts stay with their calls.
    """
    turns = _turns([line for line in _lines(ingress) if not line.instructs])
    *over, running = turns or [[]]
    asked = [line for line in running if line.asks]
    rounds = _rounds(running[len(asked) :])
    units = [*(tuple(turn) for turn in over), *((line,) for line in asked[:-1]), *rounds[:-1]]
    if strategy == "truncate_middle":  # how it began goes last
        return [*units[1:], *units[:1]]
    return units


def _lines(ingress: Ingress) -> list[Line]:
    """What instructs from outside of the messages stands before them in the canonical request."""
    count = len(ingress.body["messages"])
    said = ingress.canonical.messages[-count:]
    return [Line(place, message, message_tokens(message)) for place, message in enumerate(said)]


def _turns(lines: list[Line]) -> list[list[Line]]:
    """Each begins with what the user asks (several messages, if nobody answered), but perhaps the first."""
    turns: list[list[Line]] = []
    for line in lines:
        if not turns or (line.asks and not turns[-1][-1].asks):
            turns.append([])
        turns[-1].append(line)
    return turns


def _rounds(lines: list[Line]) -> list[Unit]:
    """What answers calls belongs to what stands before it."""
    rounds: list[list[Line]] = []
    for line in lines:
        if rounds and line.answers_calls:
            rounds[-1].append(line)
        else:
            rounds.append([line])
    return [tuple(one) for one in rounds]
