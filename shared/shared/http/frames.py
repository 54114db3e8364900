"""Server-sent events in (https://html.spec.whatwg.org/multipage/server-sent-events.html): each with its own bytes."""

import re
from collections.abc import Iterator
from typing import NamedTuple

LARGEST_FRAME = 32 * 1024 * 1024
"""Bytes of one event (an image in base64 fits)."""
BOM = b"\xef\xbb\xbf"
BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
"""Where an event ends."""
MOST_LINE_ENDS = 4
"""Bytes that a blank line may have, hence how far back the search for one goes on."""


class FrameTooLarge(Exception):
    """An event has more bytes than one may have."""


class Frame(NamedTuple):
    """One event. `raw` is what was received, up to and with the blank line."""

    raw: bytes
    event: str
    data: bytes


class FrameReader:
    """Cuts a stream of bytes into events, however it is cut into pieces; comments alone are no event."""

    def __init__(self, *, largest: int = LARGEST_FRAME) -> None:
        self._largest = largest
        self._rest = bytearray()
        self._searched = 0
        self._begun = False

    def feed(self, received: bytes) -> Iterator[Frame]:
        """The events that `received` completes. Raises FrameTooLarge, UnicodeDecodeError."""
        if self._has_whole_events(received):  # nearly always
            self._begun = True
            for raw in received[:-2].split(b"\n\n"):
                if raw.startswith(b"data: ") and b"\n" not in raw:
                    yield Frame(raw + b"\n\n", "", raw[6:])
                elif frame := _frame(raw + b"\n\n"):
                    yield frame
            return
        self._rest += received
        if not self._begun and len(self._rest) >= len(BOM):
            self._begun = True
            if self._rest.startswith(BOM):
                del self._rest[: len(BOM)]
        while found := BLANK_LINE.search(self._rest, max(0, self._searched - MOST_LINE_ENDS)):
            if found.end() == len(self._rest) and self._rest.endswith(b"\r"):
                break  # perhaps the first half of \r\n
            raw = bytes(self._rest[: found.end()])
            del self._rest[: found.end()]
            self._searched = 0
            if frame := _frame(raw):
                yield frame
        self._searched = len(self._rest)
        if len(self._rest) > self._largest:
            raise FrameTooLarge

    def _has_whole_events(self, received: bytes) -> bool:
        """And nothing else, each line with the usual end."""
        if self._rest or not received.endswith(b"\n\n") or b"\r" in received:
            return False
        return self._begun or not received.startswith(BOM)

    def end(self) -> Iterator[Frame]:
        """The event that the stream ended with, where it lacks only its blank line: some servers leave it out."""
        raw, self._rest = bytes(self._rest), bytearray()
        if frame := _frame(raw):
            yield frame


def _frame(raw: bytes) -> Frame | None:
    """None where there is no data."""
    event, data = "", []
    for line in raw.splitlines():
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode()
    return Frame(raw, event, b"\n".join(data)) if data else None
