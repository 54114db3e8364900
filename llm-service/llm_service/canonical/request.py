"""A completion request in no provider's words. Everything the protocols share has a place here."""

from typing import Any, Literal, TypeAlias

import msgspec


class CacheMark(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the provider to cache the prompt up to here, for `ttl` (as Anthropic writes it: `5m`, `1h`)."""

    ttl: str | None = None


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's seal on what its model thought: it goes back untouched to that `dialect`, and to no other."""

    dialect: str
    value: str


class Native(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON value as one dialect writes it, where no canonical form says all of it."""

    dialect: str
    value: dict[str, Any]


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a text comes from. `start` and `end` are characters of the cited text block, where the provider tells."""

    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    native: Native | None = None


class _Cacheable(msgspec.Struct, frozen=True, kw_only=True):
    cache: CacheMark | None = None


class Text(_Cacheable, tag="text", frozen=True):
    text: str
    citations: tuple[Citation, ...] = ()


class Image(_Cacheable, tag="image", frozen=True, kw_only=True):
    """One of `url`, `data` (base64) with its `media_type`, or a provider's own `file_id`."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    file_id: str | None = None
    detail: str | None = None


class Audio(_Cacheable, tag="audio", frozen=True, kw_only=True):
    """`data` is base64; `format` is a short name (`wav`, `mp3`)."""

    data: str
    format: str


class Document(_Cacheable, tag="document", frozen=True, kw_only=True):
    """One of `data` (base64) with its `media_type`, plain `text`, a `url`, or a provider's own `file_id`."""

    data: str | None = None
    text: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None
    context: str | None = None
    """What the model is told about it, beside its name."""
    cited: bool = False
    """Ask the model to cite it."""


class Reasoning(msgspec.Struct, tag="reasoning", frozen=True, kw_only=True):
    """What the model thought, or (`redacted`) what its provider hides of that."""

    text: str = ""
    signature: Signature | None = None
    redacted: Signature | None = None


class Refusal(msgspec.Struct, tag="refusal", frozen=True):
    text: str


class ToolCall(_Cacheable, tag="tool_call", frozen=True, kw_only=True):
    """`arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str
    signature: Signature | None = None


class ToolResult(_Cacheable, tag="tool_result", frozen=True, kw_only=True):
    tool_call_id: str
    parts: tuple["Text | Image | Document | Opaque", ...]
    is_error: bool = False


class Opaque(msgspec.Struct, tag="opaque", frozen=True, kw_only=True):
    """A part, or a tool, that only `native.dialect` understands: it crosses to the same dialect, and no other."""

    native: Native


Part: TypeAlias = Text | Image | Audio | Document | Reasoning | Refusal | ToolCall | ToolResult | Opaque
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn; tool calls and their results are parts of it. If the last is the assistant's, it is to go on there."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Tool(_Cacheable, tag="tool", frozen=True, kw_only=True):
    """A function that the model may call; `parameters` is a JSON schema. `hints` is what else its own dialect says of
    it, without which it is the same function."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    hints: Native | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """`names` is the one that must be called (`function`), or those among which the model may choose."""

    mode: Literal["auto", "none", "required", "function"]
    names: tuple[str, ...] = ()


class OutputFormat(msgspec.Struct, frozen=True, kw_only=True):
    """`schema` is a JSON schema where the mode is `json_schema`."""

    mode: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model thinks first: `effort` is a word (minimal, low, medium, high, …), `budget` is tokens.

    `enabled` is None where the model decides by itself; `visible` asks for the thoughts (or a summary of them).
    """

    enabled: bool | None = None
    effort: str | None = None
    budget: int | None = None
    visible: bool | None = None


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`extra` holds the fields of the client's dialect that have no canonical name: they cross to the same dialect.

    So do `hints`, which change no answer (where it is computed, what is cached): elsewhere they are left out and told.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool | Opaque, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output_format: OutputFormat | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool | None = None
    top_logprobs: int | None = None
    thinking: Thinking | None = None
    service_tier: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    extra: Native | None = None
    hints: Native | None = None

    @property
    def last_user_text(self) -> str:
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")
