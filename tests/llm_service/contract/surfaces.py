"""The doors by which clients come in: how a request is put through each, and what a client makes of the answer."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import httpx2

from tests.llm_service.serving import events, openai_chunks

Json = dict[str, Any]
MAX_TOKENS = 4096
"""Anthropic's clients have to name a limit."""


@dataclass(frozen=True)
class Counted:
    """Tokens; `input` includes those of the cache, `output` those of thoughts."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Heard:
    """An answer as its client understands it. Calls are names with arguments, whose JSON is read."""

    text: str = ""
    thoughts: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    finish: str = ""
    """In the words of the door's own protocol."""
    usage: Counted | None = None
    call_ids: tuple[str, ...] = field(default=(), compare=False)
    message: Json = field(default_factory=dict, compare=False)
    """What the client puts into the history."""


class Surface(ABC):
    """One path of the service, in one protocol."""

    dialect: ClassVar[str]
    finishes: ClassVar[Mapping[str, str]]
    """The protocol's words for why an answer ended, by ours."""
    limits: ClassVar[Json] = {}

    def __init__(self, path: str, *, native: bool) -> None:
        self.path = path
        self.native = native
        """Whether streams are ours and not the protocol's."""

    def __str__(self) -> str:
        return self.path.strip("/").replace("/", "-")

    def body(self, model: str, asked: Mapping[str, Any], *, stream: bool) -> Json:
        return {"model": model, **self.limits, **asked, "stream": stream}

    def hear(self, answer: httpx2.Response, *, stream: bool) -> Heard:
        assert answer.status_code == 200, answer.text
        if not stream:
            return self.whole(answer.json())
        assert answer.headers["content-type"].startswith("text/event-stream")
        return self.numbered(events(answer.text)) if self.native else self.streamed(answer.text)

    def finish(self, reason: str, *, stream: bool) -> str:
        """How the door says that reason: our own streams have our own words."""
        return reason if self.native and stream else self.finishes.get(reason, reason)

    def numbered(self, told: Sequence[Json]) -> Heard:
        """An answer of our own stream."""
        done = told[-1]
        assert done["type"] == "done", done
        calls = [event for event in told if event["type"] == "tool_call"]
        text = "".join(event["content"] for event in told)
        usage = done["usage"]
        return Heard(
            text=text,
            thoughts="".join(event["reasoning"] for event in told if event["type"] == "reasoning"),
            calls=tuple((call["name"], json.loads(call["arguments"])) for call in calls),
            finish=done["finish_reason"],
            usage=Counted(
                input=usage["input_tokens"],
                output=usage["output_tokens"],
                cached=usage["cached_input_tokens"],
                written=usage["cache_write_tokens"],
                reasoning=usage["reasoning_tokens"],
            ),
            call_ids=tuple(call["id"] for call in calls),
            message=self.said(text, calls),
        )

    @abstractmethod
    def whole(self, body: Json) -> Heard: ...

    @abstractmethod
    def streamed(self, text: str) -> Heard: ...

    @abstractmethod
    def said(self, text: str, calls: Sequence[Json]) -> Json:
        """The assistant's turn for the history, of a client that saw our own stream."""

    @abstractmethod
    def results(self, heard: Heard, results: Sequence[str]) -> list[Json]:
        """The messages that answer the calls."""

    @abstractmethod
    def mistake(self, answer: httpx2.Response) -> Json:
        """`code`, `message`, `param` and `attempts` of a refusal; asserts its shape."""

    @abstractmethod
    def broken(self, text: str) -> Json:
        """The same of a stream that broke off; asserts that nothing follows it."""


class OpenAISurface(Surface):
    dialect = "openai"
    finishes: ClassVar[Mapping[str, str]] = {"refusal": "content_filter", "pause": "stop"}

    def body(self, model: str, asked: Mapping[str, Any], *, stream: bool) -> Json:
        told = {"stream_options": {"include_usage": True}} if stream else {}
        return {**super().body(model, asked, stream=stream), **told}

    def whole(self, body: Json) -> Heard:
        assert body["object"] == "chat.completion"
        choice = body["choices"][0]
        return self._heard(choice["message"], choice["finish_reason"], body.get("usage"))

    def streamed(self, text: str) -> Heard:
        """What OpenAI's SDK accumulates: texts grow, calls grow by their index, details of thoughts too."""
        message: Json = {"role": "assistant", "content": None}
        finish, usage = "", None
        for chunk in openai_chunks(text):
            assert chunk["object"] == "chat.completion.chunk"
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                _grow(message, choice["delta"])
                finish = choice["finish_reason"] or finish
        return self._heard(message, finish, usage)

    def _heard(self, message: Json, finish: str, usage: Json | None) -> Heard:
        calls = message.get("tool_calls") or []
        kept = {name: value for name, value in message.items() if value and name != "annotations"}
        kept["content"] = message.get("content") or None  # a stream cannot say that there is none
        return Heard(
            text=(message.get("content") or "") + (message.get("refusal") or ""),
            thoughts=message.get("reasoning_content") or "",
            calls=tuple((call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls),
            finish=finish,
            usage=_openai_usage(usage) if usage else None,
            call_ids=tuple(call["id"] for call in calls),
            message=kept,
        )

    def said(self, text: str, calls: Sequence[Json]) -> Json:
        made = [
            {"id": call["id"], "type": "function", "function": {name: call[name] for name in ("name", "arguments")}}
            for call in calls
        ]
        return {"role": "assistant", "content": text or None, **({"tool_calls": made} if made else {})}

    def results(self, heard: Heard, results: Sequence[str]) -> list[Json]:
        pairs = zip(heard.call_ids, results, strict=True)
        return [{"role": "tool", "tool_call_id": name, "content": result} for name, result in pairs]

    def mistake(self, answer: httpx2.Response) -> Json:
        if self.native:
            return _problem(answer)
        return _openai_error(answer.json())

    def broken(self, text: str) -> Json:
        if self.native:
            return _failed(text)
        data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        assert "[DONE]" not in data
        return _openai_error(json.loads(data[-1]))


class AnthropicSurface(Surface):
    dialect = "anthropic"
    finishes: ClassVar[Mapping[str, str]] = {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
        "pause": "pause_turn",
    }
    limits: ClassVar[Json] = {"max_tokens": MAX_TOKENS}

    def whole(self, body: Json) -> Heard:
        assert body["type"] == "message"
        blocks, usage = body["content"], body.get("usage") or {}
        calls = [block for block in blocks if block["type"] == "tool_use"]
        return Heard(
            text="".join(block["text"] for block in blocks if block["type"] == "text"),
            thoughts="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
            calls=tuple((call["name"], call["input"]) for call in calls),
            finish=body["stop_reason"],
            usage=_anthropic_usage(usage) if usage else None,
            call_ids=tuple(call["id"] for call in calls),
            message={"role": "assistant", "content": blocks},
        )

    def streamed(self, text: str) -> Heard:
        """What Anthropic's SDK accumulates; one block grows at a time."""
        message: Json = {}
        for frame in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
            if fields:
                event = json.loads(fields["data"])
                assert fields["event"] == event["type"]
                _accumulate(message, event)
        assert message.pop("stopped", False), "the stream has no message_stop"
        return self.whole(message)

    def said(self, text: str, calls: Sequence[Json]) -> Json:
        blocks: list[Json] = [{"type": "text", "text": text}] if text else []
        for call in calls:
            asked = json.loads(call["arguments"])
            blocks.append({"type": "tool_use", "id": call["id"], "name": call["name"], "input": asked})
        return {"role": "assistant", "content": blocks}

    def results(self, heard: Heard, results: Sequence[str]) -> list[Json]:
        pairs = zip(heard.call_ids, results, strict=True)
        blocks = [{"type": "tool_result", "tool_use_id": name, "content": result} for name, result in pairs]
        return [{"role": "user", "content": blocks}]

    def mistake(self, answer: httpx2.Response) -> Json:
        if self.native:
            return _problem(answer)
        assert answer.headers["request-id"] == answer.json()["request_id"]
        return _anthropic_error(answer.json())

    def broken(self, text: str) -> Json:
        if self.native:
            return _failed(text)
        frames = [frame for frame in text.split("\n\n") if frame]
        assert "event: message_stop" not in text
        kind, data = frames[-1].split("\n", 1)
        assert kind == "event: error"
        return _anthropic_error(json.loads(data.removeprefix("data: ")))


OPENAI = OpenAISurface("/v1/chat/completions", native=False)
ANTHROPIC = AnthropicSurface("/v1/messages", native=False)
NATIVE = OpenAISurface("/api/llm/chat/completions", native=True)
NATIVE_MESSAGES = AnthropicSurface("/api/llm/messages", native=True)
SURFACES: tuple[Surface, ...] = (OPENAI, ANTHROPIC, NATIVE, NATIVE_MESSAGES)


def without_usage(heard: Heard) -> Heard:
    return replace(heard, usage=None)


def _grow(message: Json, delta: Json) -> None:
    for name in ("content", "refusal", "reasoning_content"):
        if delta.get(name) is not None:
            message[name] = (message.get(name) or "") + delta[name]
    for piece in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        if piece["index"] == len(calls):
            calls.append({"id": piece["id"], "type": "function", "function": {"name": "", "arguments": ""}})
        call = calls[piece["index"]]
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
        if "extra_content" in piece:
            call["extra_content"] = piece["extra_content"]
    for piece in delta.get("reasoning_details") or ():
        details = message.setdefault("reasoning_details", [])
        if piece["index"] == len(details):
            details.append(dict(piece))
            continue
        detail = details[piece["index"]]
        detail["text"] = detail.get("text", "") + piece.get("text", "")
        detail |= {name: value for name, value in piece.items() if name in ("signature", "format", "data")}


def _accumulate(message: Json, event: Json) -> None:
    match event["type"]:
        case "message_start":
            message |= event["message"]
        case "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append({**event["content_block"], "said": ""})
        case "content_block_delta":
            _add(message["content"][event["index"]], event["delta"])
        case "content_block_stop":
            block = message["content"][event["index"]]
            if said := block.pop("said"):
                block["input"] = json.loads(said)
        case "message_delta":
            message |= event["delta"]
            message["usage"] = {**(message.get("usage") or {}), **(event.get("usage") or {})}
        case "message_stop":
            message["stopped"] = True
        case kind:
            assert kind == "ping", event


def _add(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            block["said"] += delta["partial_json"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case kind:
            raise AssertionError(kind)


def _openai_usage(usage: Json) -> Counted:
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    prompt = usage.get("prompt_tokens_details") or {}
    return Counted(
        input=usage["prompt_tokens"],
        output=usage["completion_tokens"],
        cached=prompt.get("cached_tokens", 0),
        written=prompt.get("cache_write_tokens", 0),
        reasoning=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0),
    )


def _anthropic_usage(usage: Json) -> Counted:
    """Anthropic's `input_tokens` are those that the cache neither gave nor took."""
    read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return Counted(
        input=usage["input_tokens"] + read + written,
        output=usage["output_tokens"],
        cached=read,
        written=written,
        reasoning=(usage.get("output_tokens_details") or {}).get("thinking_tokens", 0),
    )


def _problem(answer: httpx2.Response) -> Json:
    """problem+json (RFC 9457)."""
    assert answer.headers["content-type"] == "application/problem+json"
    body: Json = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    return {**body, "message": body["detail"]}


def _failed(text: str) -> Json:
    event = events(text)[-1]
    assert event["type"] == "error", event
    return {**event, "message": event["detail"]}


def _openai_error(body: Json) -> Json:
    assert body.keys() == {"error"}
    error: Json = body["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    return error


def _anthropic_error(body: Json) -> Json:
    assert body["type"] == "error"
    error: Json = body["error"]
    assert {"type", "message"} <= error.keys()
    return error
