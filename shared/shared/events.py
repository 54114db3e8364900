"""The events of a stream on `/api/*`: a closed union, and its form on the wire (server-sent events).

Every data object has a string `content`: the answer's text in a `delta`, empty in every other event, so a client
that appends the `content` of each `data:` line prints the answer and nothing else. The last event is `done` or
`error`, exactly one of them, always.
"""

from typing import Any, TypeAlias

import msgspec


class Usage(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Tokens as the provider counted them; `estimated` where it did not say.

    `input_tokens` and `output_tokens` are all there are; the others say how many of them are of a kind that is priced
    otherwise: read from the provider's cache, written to it (for five minutes, or for an hour), thought, heard, spoken.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def as_json(self) -> dict[str, Any]:
        return {**msgspec.structs.asdict(self), "total_tokens": self.total_tokens}


class Event(msgspec.Struct, kw_only=True, tag_field="type"):
    """What all events have; `generation_id` is absent where no generation stands behind the stream."""

    content: str = ""
    generation_id: str | msgspec.UnsetType = msgspec.UNSET


class Start(Event, tag="start"):
    """An attempt has committed (or a generation has begun): who answers. Text may follow."""

    id: str
    conversation_id: str = ""
    model: str = ""
    provider: str = ""


class Delta(Event, tag="delta"):
    """A piece of the answer's text, in `content`."""


class Reasoning(Event, tag="reasoning"):
    """A piece of the model's reasoning; not part of the answer."""

    reasoning: str


class ToolCall(Event, tag="tool_call"):
    """One whole call that the model asks for; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class ToolResult(Event, tag="tool_result"):
    """What a tool answered."""

    tool_call_id: str
    result: Any


class UsageReport(Event, tag="usage"):
    usage: dict[str, Any]


class Done(Event, tag="done"):
    """The answer is complete and, where there is a database, saved. `message_id` is empty without a conversation."""

    message_id: str = ""
    conversation_id: str = ""
    model: str = ""
    provider: str = ""
    finish_reason: str = "stop"
    usage: dict[str, Any] = {}
    cost_usd: str | None = None


class Failed(Event, tag="error"):
    """The answer ended early; what was sent before stays valid. `code` and `detail` as in problem+json."""

    code: str
    detail: str
    status: int = 502
    message_id: str = ""


StreamEvent: TypeAlias = Start | Delta | Reasoning | ToolCall | ToolResult | UsageReport | Done | Failed

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(StreamEvent)


def encode_event(event: StreamEvent, *, sequence: int) -> bytes:
    """One frame: `id`, `event`, one `data` line, and the blank line that ends it."""
    return frame_of(*event_data(event), sequence=sequence)


def event_data(event: StreamEvent) -> tuple[str, bytes]:
    """The event's type and its JSON."""
    return str(type(event).__struct_config__.tag), _encoder.encode(event)


def frame_of(kind: str, data: bytes, *, sequence: int) -> bytes:
    """The frame of what `event_data` has made."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (sequence, kind.encode(), data)


def decode_event(data: str | bytes) -> StreamEvent:
    """Raises msgspec.ValidationError for an event that is not of the union."""
    event: StreamEvent = _decoder.decode(data)
    return event
