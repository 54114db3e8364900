"""The ways in which a simulated provider can misbehave, by name. Nothing here knows whose wire it is."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import Any, Literal, get_args

FaultName = Literal[
    # Of the socket and of HTTP: performed by `replies.script`, the same for every provider.
    "reset",  # RST before a byte of an answer
    "stall-headers",  # not a byte, and the connection stays open
    "stall",  # silence after `after` pieces of content
    "cut",  # FIN after `after` pieces, the body left unfinished
    "cut-reset",  # RST after `after` pieces
    "cut-clean",  # the body ends properly after `after` pieces; what the protocol says at an end is missing
    "cut-in-frame",  # the same, and its last event is half an event
    "corrupt",  # the event after `after` pieces is not JSON; a document is half of one
    "html",  # a web page, with `status` (200)
    "drip",  # `interval` seconds before every piece of content
    "split",  # one byte per write and per chunk
    "crlf",  # lines end in CR LF
    "comments",  # a comment before every event
    # Of the answer: `answers.under`, the same for every provider.
    "content-filter",  # withheld after `after` pieces
    "empty",  # an answer of no words
    "huge",  # `size` characters in one piece
    # In the provider's own words: by each simulator.
    "status",  # an error with `status` (500), `code` and `headers`
    "error-first",  # 200, then an error as the first event of the stream
    "error-later",  # an error event after `after` pieces
    "no-usage",  # tokens are not told
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer: `Fault("cut", after=3)`, `Fault("status", status=429)`."""

    name: FaultName
    _: KW_ONLY
    after: int = 2
    """Pieces of content that are sent before it strikes; 0 is after the headers and the opening event."""
    status: int | None = None
    code: str | None = None
    """Which of the provider's errors, where a status has several: `insufficient_quota`."""
    headers: Mapping[str, str] = field(default_factory=dict)
    interval: float = 0.05
    """Seconds."""
    size: int = 1_000_000
    path: str | None = None
    """Waits for a request of which the path ends so; without it for any POST, so that listing models takes no fault."""

    def befalls(self, *, method: str, path: str) -> bool:
        return method == "POST" if self.path is None else path.endswith(self.path)


NAMED: Mapping[str, Fault] = {
    **{name: Fault(name) for name in get_args(FaultName)},
    "stall-first": Fault("stall", after=0),
    "html-502": Fault("html", status=502),
    **{
        str(status): Fault("status", status=status)
        for status in (400, 401, 403, 404, 408, 429, 500, 502, 503, 504, 529)
    },
    "429-retry-after": Fault("status", status=429, headers={"retry-after": "1"}),
    "429-retry-after-ms": Fault("status", status=429, headers={"retry-after-ms": "250"}),
    "quota": Fault("status", status=429, code="insufficient_quota"),
    "context-length": Fault("status", status=400, code="context_length_exceeded"),
}
"""Every fault that has a name of its own: for the model `fault-<name>` and for the control endpoint."""


def parse_fault(value: str | Mapping[str, Any]) -> Fault:
    """Reads `"cut"` or `{"name": "cut", "after": 3}`; raises ValueError for a name or a field that does not exist."""
    changes = {"name": value} if isinstance(value, str) else {**value}
    name = str(changes.pop("name", ""))
    if name not in NAMED:
        raise ValueError(f"no fault is named {name!r}: {', '.join(NAMED)}")
    if unknown := changes.keys() - {known.name for known in fields(Fault)}:
        raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
    return replace(NAMED[name], **changes)
