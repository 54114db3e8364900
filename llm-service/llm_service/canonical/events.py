"""What a provider sends, event by event: a closed union, the same for a stream and for a whole answer."""

from typing import Literal, TypeAlias

import msgspec

from shared.events import Usage

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has taken the request; nothing is said yet."""

    id: str
    model: str
    created: int


class TextDelta(msgspec.Struct, frozen=True):
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, kw_only=True):
    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class RefusalDelta(msgspec.Struct, frozen=True):
    text: str


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the call at `index`; `id` and `name` come with its first piece."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Finished(msgspec.Struct, frozen=True):
    """The model has said all it will say; usage may still follow."""

    reason: FinishReason


class UsageCounted(msgspec.Struct, frozen=True):
    usage: Usage


class Ended(msgspec.Struct, frozen=True):
    """The dialect's terminal marker."""


Event: TypeAlias = Started | TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | Finished | UsageCounted | Ended


def bears_content(event: Event) -> bool:
    """Whether the client has seen part of an answer once it has this: the attempt can then no longer be replaced."""
    match event:
        case TextDelta(text) | RefusalDelta(text):
            return bool(text)
        case ReasoningDelta() | ToolCallDelta():
            return True
        case _:
            return False


class Piece(msgspec.Struct, frozen=True):
    """Something that a provider sent, as it was (`raw`: one event's data, or a whole body) and as it is understood."""

    raw: bytes
    events: tuple[Event, ...]
