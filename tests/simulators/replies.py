"""What a simulated provider says, and the steps in which it is put on the socket, well or badly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.simulators.faults import Fault


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; `content` tells whether it carries a piece of the answer itself."""

    data: str
    content: bool = False
    name: str | None = None
    comment: str | None = None
    """Stands there instead of an event."""

    def encode(self, newline: str = "\n") -> bytes:
        if self.comment is not None:
            return f": {self.comment}{newline}{newline}".encode()
        lines = [f"event: {self.name}"] if self.name else []
        return newline.join([*lines, f"data: {self.data}", "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Document:
    """An answer of which the length is known."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventStream:
    """A streamed answer, chunked."""

    events: Sequence[Event]
    headers: Mapping[str, str] = field(default_factory=dict)
    newline: str = "\n"


Reply = Document | EventStream


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers; without a `length` the body is chunked."""

    status: int
    headers: Mapping[str, str]
    length: int | None


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the body, in one write."""

    body: bytes
    content: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing more until the client leaves."""


@dataclass(frozen=True, slots=True)
class End:
    """The body is complete."""


@dataclass(frozen=True, slots=True)
class Close:
    """FIN, whatever is still owed."""


@dataclass(frozen=True, slots=True)
class Reset:
    """RST."""


Step = Head | Piece | Pause | Stall | End | Close | Reset


def script(reply: Reply, fault: Fault | None = None) -> list[Step]:
    """The steps of `reply` as `fault` spoils it; a fault that is not of the wire leaves them as they are."""
    match fault.name if fault else None:
        case "reset":
            return [Reset()]
        case "stall-headers":
            return [Stall()]
        case "html":
            assert fault is not None
            page = _page(fault.status or 200)
            return _whole(_head(page), _pieces(page, None))
    pieces = _pieces(reply, fault)
    return _ending(reply, pieces, fault) if fault else _whole(_head(reply), pieces)


def _ending(reply: Reply, pieces: list[Piece], fault: Fault) -> list[Step]:
    head = _head(reply)
    struck = _position(pieces, fault.after)
    kept = pieces[:struck]
    match fault.name:
        case "stall":
            return [head, *kept, Stall()]
        case "cut":
            return [head, *kept, Close()]
        case "cut-reset":
            return [head, *kept, Reset()]
        case "cut-clean":
            return _whole(head, kept)
        case "cut-in-frame":
            return _whole(head, [*kept, _half(pieces[struck])])
        case "corrupt" if isinstance(reply, Document):
            return _whole(head, kept)
        case "drip":
            drops: list[Step] = []
            for piece in pieces:
                drops += [Pause(fault.interval), piece] if piece.content else [piece]
            return [head, *drops, End()]
        case _:
            return _whole(head, pieces)


def _whole(head: Head, pieces: Sequence[Piece]) -> list[Step]:
    length = None if head.length is None else sum(len(piece.body) for piece in pieces)
    return [replace(head, length=length), *pieces, End()]


def _head(reply: Reply) -> Head:
    match reply:
        case Document():
            return Head(reply.status, reply.headers, len(reply.body))
        case EventStream():
            return Head(200, reply.headers, None)


def _pieces(reply: Reply, fault: Fault | None) -> list[Piece]:
    name = fault.name if fault else None
    match reply:
        case Document(body):
            quarter = max(1, -(-len(body) // 4))
            pieces = [Piece(body[at : at + quarter], content=True) for at in range(0, len(body), quarter)]
        case EventStream(events):
            comment = b": keep-alive\n\n" if name == "comments" else b""
            newline = "\r\n" if name == "crlf" else reply.newline
            pieces = [Piece(comment + event.encode(newline), event.content) for event in events]
            if fault and name == "corrupt":
                struck = _position(pieces, fault.after)
                broken = replace(events[struck], data=events[struck].data[: len(events[struck].data) // 2])
                pieces[struck] = Piece(broken.encode(newline), broken.content)
    return [byte for piece in pieces for byte in _bytes(piece)] if name == "split" else pieces


def _bytes(piece: Piece) -> list[Piece]:
    last = len(piece.body) - 1
    return [Piece(piece.body[at : at + 1], piece.content and at == last) for at in range(len(piece.body))]


def _half(piece: Piece) -> Piece:
    return Piece(piece.body[: len(piece.body) // 2], piece.content)


def _position(pieces: Sequence[Piece], after: int) -> int:
    """Index of the piece that follows the first `after` pieces of content; of the last one where there are too few."""
    content = [at for at, piece in enumerate(pieces) if piece.content]
    if after >= len(content):
        return content[-1] + 1 if content and content[-1] + 1 < len(pieces) else len(pieces) - 1
    return content[after]


def _page(status: int) -> Document:
    body = f"<html>\n<head><title>{status}</title></head>\n<body><center><h1>{status}</h1></center></body>\n</html>\n"
    return Document(body.encode(), status=status, headers={"content-type": "text/html; charset=UTF-8"})
