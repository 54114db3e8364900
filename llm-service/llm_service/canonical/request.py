"""A completion request in no provider's words. Everything the protocols share has a place here."""

from typing import Any, Literal, TypeAlias

import msgspec


class Text(msgspec.Struct, tag="text", frozen=True):
    text: str
    cache: bool = False
    """Ask the provider to cache the prompt up to here."""


class Image(msgspec.Struct, tag="image", frozen=True, kw_only=True):
    """Either `url`, or `data` (base64) with its `media_type`."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None


class Audio(msgspec.Struct, tag="audio", frozen=True, kw_only=True):
    data: str
    format: str


class Document(msgspec.Struct, tag="document", frozen=True, kw_only=True):
    """Either `data` (base64) with its `media_type`, a `url`, or a provider's own `file_id`."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None


class Reasoning(msgspec.Struct, tag="reasoning", frozen=True, kw_only=True):
    """`signature` and `redacted` go back to the provider that made them, untouched."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class Refusal(msgspec.Struct, tag="refusal", frozen=True):
    text: str


class ToolCall(msgspec.Struct, tag="tool_call", frozen=True, kw_only=True):
    """`arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, tag="tool_result", frozen=True, kw_only=True):
    tool_call_id: str
    parts: tuple[Text | Image, ...]
    is_error: bool = False


class Opaque(msgspec.Struct, tag="opaque", frozen=True, kw_only=True):
    """A part that only `dialect` understands: it crosses to the same dialect, and no other."""

    dialect: str
    value: dict[str, Any]


Part: TypeAlias = Text | Image | Audio | Document | Reasoning | Refusal | ToolCall | ToolResult | Opaque
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn; tool calls and their results are parts of it."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    mode: Literal["auto", "none", "required", "function"]
    name: str | None = None


class OutputFormat(msgspec.Struct, frozen=True, kw_only=True):
    """`schema` is a JSON schema where the mode is `json_schema`."""

    mode: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`extra` holds the fields of the client's dialect that have no canonical name yet."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output_format: OutputFormat | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    extra: dict[str, Any] = {}

    @property
    def last_user_text(self) -> str:
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")
