"""Which event of a generation brought which piece of its answer: about one byte per event.

A trail is a sequence of numbers, seven bits to a byte with the least first and the high bit where more follow: eight
times the length of the piece in characters, plus the kind of the event. It turns an answer that is saved back into the
events after any sequence, when the events themselves are gone.
"""

from collections.abc import Iterator
from typing import TypeAlias

from shared.events import Delta, Reasoning, Start, ToolCall, ToolResult, UsageReport

Spoken: TypeAlias = Start | Delta | Reasoning | ToolCall | ToolResult | UsageReport

KINDS: tuple[type[Spoken], ...] = (Start, Delta, Reasoning, ToolCall, ToolResult, UsageReport)
"""Their places are in the database: only append."""
_PLACE = {kind: place for place, kind in enumerate(KINDS)}


def step(event: Spoken) -> bytes:
    """The event's part of the trail."""
    match event:
        case Delta():
            length = len(event.content)
        case Reasoning():
            length = len(event.reasoning)
        case _:
            length = 0
    number = length << 3 | _PLACE[type(event)]
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def steps(trail: bytes) -> Iterator[tuple[type[Spoken], int]]:
    """The kind and the length of each event, from the first on."""
    number = shift = 0
    for byte in trail:
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            yield KINDS[number & 7], number >> 3
            number = shift = 0
