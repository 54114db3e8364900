"""A client's request as it came in: its bytes, the few fields that routing needs, and the rest on demand."""

import math
from collections.abc import Iterator, Mapping
from copy import copy
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import Audio, CompletionRequest, Document, Image, Part, ToolResult
from llm_service.canonical.tokens import json_tokens, request_tokens
from llm_service.dialects.base import OURS, Body, Dialect, RawBody
from shared.errors import MalformedRequest, Unprocessable, json_pointer

Need: TypeAlias = Literal["image", "audio", "document", "tools", "json_schema", "thinking"]
"""What a request may need of a model."""
Strategy: TypeAlias = Literal["error", "truncate_oldest", "truncate_middle", "summarize"]
NEEDS: tuple[tuple[type[Part], Need], ...] = ((Image, "image"), (Audio, "audio"), (Document, "document"))
DEFAULT_MODEL = "auto"
"""What a request without `model` asks for: the route of that name, or any model where its chain is not configured."""
LONGEST_MODEL = 256
LONGEST_TTL = 30 * 24 * 3600
"""Seconds for which an answer is kept for the next to ask the same."""
LONGEST_DEADLINE = 24 * 3600 * 1000
"""Milliseconds. A deadline only shortens what config/llm.yaml allows."""


ModelName: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_MODEL)]


class Routing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the attempts are ordered and how long they may take together (milliseconds).

    `assured` holds the answer back until it is complete, so that one that breaks off is replaced like any other.
    """

    mode: Literal["ordered", "cheapest", "fastest"] | None = None
    assured: bool = False
    deadline_ms: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_DEADLINE)] | None = None


class ContextWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done with a request that is larger than a model's context window, or than `max_input_tokens`."""

    strategy: Strategy | None = None
    max_input_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None


class CacheWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the answer may be one that was given to the same request, up to `ttl` seconds ago."""

    ttl: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_TTL)]


class Peek(msgspec.Struct, frozen=True):
    """What routing looks at. All other fields are the dialect's business, and messages are not looked into."""

    messages: Annotated[list[dict[str, msgspec.Raw]], msgspec.Meta(min_length=1)]
    model: ModelName | None = None
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None
    drop_params: bool | Annotated[list[str], msgspec.Meta(max_length=50)] | None = None
    fallbacks: Annotated[list[ModelName], msgspec.Meta(max_length=10)] | None = None
    routing: Routing | None = None
    context: ContextWish | None = None
    cache: CacheWish | Literal[False] | None = None


class Ingress:
    """`headers` are those that the dialect names, as far as the client sent them.

    Raises MalformedRequest for what is no JSON object, Unprocessable for a field of the wrong type.
    """

    def __init__(self, raw: bytes, *, dialect: Dialect, headers: Mapping[str, str] | None = None) -> None:
        self.dialect = dialect
        self.raw = raw
        self.limited = False  # whether a limit of output tokens in `body` is ours
        self.headers: dict[str, str] = {}
        for name, value in (headers or {}).items():
            if name in dialect.headers:  # lines of one name are one list (RFC 9110 §5.3)
                self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        if wrong := [name for name, value in self.headers.items() if not (value.isascii() and value.isprintable())]:
            raise MalformedRequest(f"The header {wrong[0]} must be plain ASCII.")
        self._peek = _peeked(raw, dialect)
        self._fields: RawBody | None = None

    @property
    def model(self) -> str:
        return self._peek.model or DEFAULT_MODEL

    @property
    def stream(self) -> bool:
        return bool(self._peek.stream)

    @property
    def answer_wishes(self) -> Body:
        """What the request says of how a stream is to be told."""
        return {"model": self._peek.model or "", "stream_options": self._peek.stream_options}

    @property
    def fallbacks(self) -> list[str] | None:
        return self._peek.fallbacks

    @property
    def further_models(self) -> list[str]:
        """Models that the request names for the provider to use, in the dialect's own fields."""
        return self.dialect.further_models(self.body)

    @property
    def drop_params(self) -> bool | list[str]:
        """Whether what a provider cannot be asked may be left out: all of it, none, or these fields."""
        return self._peek.drop_params or False

    @property
    def routing(self) -> Routing:
        return self._peek.routing or Routing()

    @property
    def context(self) -> ContextWish:
        return self._peek.context or ContextWish()

    @property
    def cache(self) -> CacheWish | Literal[False] | None:
        """None leaves it to the route."""
        return self._peek.cache

    @cached_property
    def body(self) -> Body:
        """All of it."""
        return _object(self.raw)

    @property
    def fields(self) -> RawBody:
        """All of it, with no field looked into: what is only passed on need not be understood. Raises Unprocessable."""
        if self._fields is None:
            self._fields = _FIELDS.decode(self.raw)
            _refuse_namesakes(self._fields)
        return self._fields

    @cached_property
    def canonical(self) -> CompletionRequest:
        """Raises Unprocessable."""
        return self.dialect.parse_request({**self.body, "model": self.model})

    @cached_property
    def needs(self) -> frozenset[Need]:
        """What a model must be able to do for this request; nothing is known of one that only its own dialect reads."""
        try:
            return frozenset(_needs(self.canonical))
        except Unprocessable:
            return frozenset()

    @cached_property
    def tokens(self) -> int:
        """Of all that a model is to read, about; of the whole body where only its own dialect reads it."""
        try:
            return request_tokens(self.canonical)
        except Unprocessable:
            return json_tokens(self.body)

    def tokens_for(self, dialect: Dialect | None) -> int:
        """The same as models of a provider that speaks `dialect` count, about."""
        if dialect is None:
            return self.tokens
        told = dialect.tokens_for_tools if self.body.get("tools") else 0
        return math.ceil(self.tokens * dialect.token_ratio) + told

    def with_output_limit(self, tokens: int) -> "Ingress":
        """The same request for an answer of at most so many tokens, where the client sets no limit."""
        other = copy(self)
        field = self.dialect.output_limit
        other.body = {**self.body, field: tokens}
        other._fields = {**self.fields, field: msgspec.Raw(b"%d" % tokens)}
        other.limited = True
        other.__dict__.pop("canonical", None)
        return other

    def with_messages(self, messages: list[Body]) -> "Ingress":
        """The same request with other messages, in the client's own words."""
        other = copy(self)
        for known in ("canonical", "needs", "tokens"):
            other.__dict__.pop(known, None)
        other.body = {**self.body, "messages": messages}
        other._fields = {**self.fields, "messages": msgspec.Raw(msgspec.json.encode(messages))}
        return other

    def body_for(self, dialect: Dialect, *, model: str, stream: bool, losses: Losses) -> Body:
        """The request in a provider's dialect: the client's own fields where it is the same, translated otherwise.

        Raises Unprocessable, NotExpressible.
        """
        if dialect is self.dialect:
            return dialect.readdress(self.fields, model=model, stream=stream)
        request = msgspec.structs.replace(self.canonical, model=model)
        return dialect.render_request(request, stream=stream, losses=losses)


def _needs(request: CompletionRequest) -> Iterator[Need]:
    for message in request.messages:
        for part in message.parts:
            parts = part.parts if isinstance(part, ToolResult) else (part,)
            for kind, need in NEEDS:
                if any(isinstance(one, kind) for one in parts):
                    yield need
    if request.tools:
        yield "tools"
    if request.output_format is not None and request.output_format.mode == "json_schema":
        yield "json_schema"
    if request.thinking is not None and request.thinking.enabled is not False:
        yield "thinking"


_FIELDS = msgspec.json.Decoder(RawBody)
_BODY = msgspec.json.Decoder(Body)
_PEEK = msgspec.json.Decoder(Peek)


def _peeked(raw: bytes, dialect: Dialect) -> Peek:
    """Raises MalformedRequest, Unprocessable."""
    try:
        if not raw.isascii():
            raw.decode()  # what is not looked into is not checked either
        return _PEEK.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _peek(dialect.ours(_object(raw)))  # its own word for one of our fields, or a mistake that can be named


LOOKED_AT = frozenset(
    {
        *("model", "models", "messages", "stream", "stream_options", "n", "best_of", "max_tokens", "tools"),
        *("max_completion_tokens", *OURS),
    }
)
"""Fields by which it is decided who may ask, and what is reserved."""


def _refuse_namesakes(fields: RawBody) -> None:
    """Some providers read names whatever their case (Go's encoding/json does): then `Model` would win over `model`."""
    for name in fields.keys() - LOOKED_AT:
        if name.casefold() in LOOKED_AT:
            detail = f"Write {name.casefold()}: a name with other letters may be read in its place."
            errors = [{"pointer": json_pointer([name]), "in": "body", "detail": detail}]
            raise Unprocessable(f"body {json_pointer([name])}: {detail}", errors=errors, param=name)


def _object(raw: bytes) -> Body:
    try:
        return _BODY.decode(raw)
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None
    except msgspec.ValidationError as error:
        raise MalformedRequest(f"The body must be a JSON object: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"The body is not valid JSON: {error}.") from None


def _peek(body: Body) -> Peek:
    try:
        return _PEEK.decode(msgspec.json.encode(body))
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        steps = [step for step in path.rstrip("`").replace("[", ".").replace("]", "").split(".") if step]
        if "missing required field" in what:
            steps.append(what.rpartition("`")[0].rpartition("`")[2])
            what = "This field is required"
        pointer = json_pointer(steps)
        errors = [{"pointer": pointer, "in": "body", "detail": what}]
        raise Unprocessable(f"body {pointer}: {what}", errors=errors, param=steps[0] if steps else None) from None
