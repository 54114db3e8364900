"""An answer as it is kept: its pieces, in bytes."""

import time
from collections.abc import Sequence
from typing import get_args

import msgspec

from llm_service.canonical.events import Event, Finished, FinishReason, Piece
from llm_service.catalogue.service import Target
from llm_service.dialects import Dialect
from llm_service.routing.attempts import Attempt

LARGEST = 1024 * 1024
"""Bytes of an answer; what is larger is not kept."""
COMPLETE: frozenset[FinishReason] = frozenset({"stop", "length", "tool_calls"})
"""How an answer ends that the same request may get again. One that was refused, filtered or paused is asked anew."""

EVENTS = {kind.__name__: kind for kind in get_args(Event)}

_Named = tuple[str, msgspec.Raw]
_KeptPiece = tuple[bytes, tuple[_Named, ...]]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """`pieces` are in the form of a stream or of a whole answer, and have bytes where the client's dialect was spoken.

    `kept_at` is seconds since 1970.
    """

    target: str
    stream: bool
    kept_at: float
    dropped: list[str]
    context: str | None
    pieces: tuple[_KeptPiece, ...]

    def attempt(self, targets: Sequence[Target]) -> Attempt | None:
        """As if it had just been made, but for its age; None where the target is not one that may answer."""
        target = next((one for one in targets if one.name == self.target), None)
        if target is None:
            return None
        return Attempt(
            target=target,
            stream=self.stream,
            result="completed",
            dropped=self.dropped,
            context=self.context,
            age=max(0.0, time.time() - self.kept_at),
        )

    def replayed(self) -> list[Piece]:
        return [
            Piece(raw, tuple(msgspec.msgpack.decode(event, type=EVENTS[name]) for name, event in events))
            for raw, events in self.pieces
        ]


class Recorder:
    """Takes an answer down as it passes; gives up where it is too large."""

    def __init__(self, attempt: Attempt, *, dialect: Dialect) -> None:
        self._attempt = attempt
        self._relays = attempt.target.provider.dialect is dialect
        self._pieces: list[_KeptPiece] = []
        self._size = 0
        self._complete = False

    def add(self, piece: Piece) -> None:
        self._complete |= any(isinstance(event, Finished) and self._may_return(event.reason) for event in piece.events)
        if self._size > LARGEST:
            return
        try:
            events = tuple((type(event).__name__, msgspec.Raw(msgspec.msgpack.encode(event))) for event in piece.events)
        except OverflowError:  # a number of more than 64 bits: too large as well
            self._size = LARGEST + 1
            return
        raw = piece.raw if self._relays else b""
        self._size += len(raw) + sum(len(event) for _, event in events)
        self._pieces.append((raw, events))
        if self._size > LARGEST:
            self._pieces.clear()

    def _may_return(self, reason: FinishReason) -> bool:
        """One that was cut at a limit that we set is for its caller alone."""
        return reason in COMPLETE and (reason != "length" or self._attempt.output_limit is None)

    def encoded(self) -> bytes | None:
        """Once the answer has ended; None where it is none to keep."""
        if not self._complete or self._size > LARGEST:
            return None
        kept = Kept(
            target=self._attempt.target.name,
            stream=self._attempt.stream,
            kept_at=time.time(),
            dropped=self._attempt.dropped,
            context=self._attempt.context,
            pieces=tuple(self._pieces),
        )
        return msgspec.msgpack.encode(kept)


def decoded(value: bytes) -> Kept | None:
    """None for what another version of this service has kept in another form."""
    try:
        return msgspec.msgpack.decode(value, type=Kept)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
