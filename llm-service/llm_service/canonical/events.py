"""What a provider sends, event by event: a closed union, the same for a stream and for a whole answer."""

from typing import Literal, TypeAlias

import msgspec

from llm_service.canonical.request import Audio, Citation, Image, Native, Signature
from shared.events import Usage

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "pause"]
"""`pause`: the provider's own tools ran long; the client sends the answer back to let it go on."""


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has taken the request; nothing is said yet. `created` is seconds since 1970, 0 if not told."""

    id: str
    model: str
    created: int = 0


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of text; another `block` than before begins a new text block."""

    text: str
    block: int = 0


class Cited(msgspec.Struct, frozen=True):
    """A source of the text block that is being written (or was written last)."""

    citation: Citation


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """How likely a token was (natural logarithm), and the likeliest in its place; `bytes` are its UTF-8."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple["TokenLogprob", ...] = ()


class LogprobsTold(msgspec.Struct, frozen=True):
    """Of tokens of the text (`refusal`: of the refusal), in their order."""

    tokens: tuple[TokenLogprob, ...]
    refusal: bool = False


class ReasoningDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a thought; a `signature` ends it. `redacted` is one by itself."""

    text: str = ""
    signature: Signature | None = None
    redacted: Signature | None = None


class RefusalDelta(msgspec.Struct, frozen=True):
    text: str


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the call at `index` (0, 1, … among calls); `id` and `name` come with its first piece."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    signature: Signature | None = None


class MediaAdded(msgspec.Struct, frozen=True):
    """The model made an image, or speaks."""

    part: Image | Audio


class NativeAdded(msgspec.Struct, frozen=True):
    """A block of the answer that only its own dialect understands."""

    native: Native


class Finished(msgspec.Struct, frozen=True):
    """The model has said all it will say; usage may still follow. `native` is the provider's word for it."""

    reason: FinishReason
    stop_sequence: str | None = None
    native: str | None = None


class UsageCounted(msgspec.Struct, frozen=True):
    """What the provider counted up to now: the last one is the answer's."""

    usage: Usage


class Ended(msgspec.Struct, frozen=True):
    """The dialect's terminal marker."""


Event: TypeAlias = (
    Started
    | TextDelta
    | Cited
    | LogprobsTold
    | ReasoningDelta
    | RefusalDelta
    | ToolCallDelta
    | MediaAdded
    | NativeAdded
    | Finished
    | UsageCounted
    | Ended
)


def bears_content(event: Event) -> bool:
    """Whether the client has seen part of an answer once it has this: the attempt can then no longer be replaced."""
    match event:
        case TextDelta() | RefusalDelta():
            return bool(event.text)
        case ReasoningDelta() | ToolCallDelta() | MediaAdded() | NativeAdded():
            return True
        case _:
            return False


class Piece(msgspec.Struct, frozen=True):
    """What a provider sent, as it was (`raw`: one event of a stream, framing included, or a whole body) and as it is
    understood."""

    raw: bytes
    events: tuple[Event, ...]
