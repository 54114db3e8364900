"""Anthropic's wire for tests: a stub of its API, its streams, and its own SDK as the judge of ours."""

import json
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from anthropic._models import construct_type  # the SDK's own lenient reading, as its clients do it
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Event
from llm_service.dialects import Dialect
from shared.http.frames import Frame, FrameReader
from tests.serving import served

Json = dict[str, Any]
KEY = "sk-ant-simulated"
USAGE: Json = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 7,
    "cache_read_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3},
    "output_tokens": 9,
}


def message(*content: Json, stop_reason: str = "end_turn", **more: Any) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5",
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": USAGE,
        **more,
    }


def sse(*events: Json) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def as_stream(whole: Json, *, cut: int = 7) -> bytes:
    """The stream of a message, its texts cut into pieces of `cut` characters."""
    start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        opening, deltas = _pieces(block, cut)
        events.append({"type": "content_block_start", "index": index, "content_block": opening})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ended = {name: whole.get(name) for name in ("stop_reason", "stop_sequence")}
    usage = {name: value for name, value in whole["usage"].items() if name != "cache_creation"}
    return sse(*events, {"type": "message_delta", "delta": ended, "usage": usage}, {"type": "message_stop"})


def _pieces(block: Json, cut: int) -> tuple[Json, list[Json]]:
    def cuts(kind: str, name: str, text: str) -> list[Json]:
        return [{"type": kind, name: text[at : at + cut]} for at in range(0, len(text), cut)]

    match block["type"]:
        case "text":
            cited = [{"type": "citations_delta", "citation": one} for one in block.get("citations", [])]
            return {"type": "text", "text": ""}, cited + cuts("text_delta", "text", block["text"])
        case "thinking":
            signed = {"type": "signature_delta", "signature": block["signature"]}
            thought = cuts("thinking_delta", "thinking", block["thinking"])
            return {"type": "thinking", "thinking": "", "signature": ""}, [*thought, signed]
        case "tool_use" | "server_tool_use":
            said = json.dumps(block["input"]) if block["input"] else ""
            first = {"type": "input_json_delta", "partial_json": ""}
            return {**block, "input": {}}, [first, *cuts("input_json_delta", "partial_json", said)]
        case _:
            return block, []


def frames(wire: bytes) -> list[Frame]:
    reader = FrameReader()
    return [*reader.feed(wire), *reader.end()]


def events_of(dialect: Dialect, wire: bytes) -> list[Event]:
    parser = dialect.stream_parser()
    return [event for frame in frames(wire) for event in parser.read(frame)]


def collected(events: Iterable[Event]) -> Answer:
    answer = Answer()
    for event in events:
        answer.add(event)
    return answer


def rendered(dialect: Dialect, events: Iterable[Event]) -> bytes:
    renderer = dialect.stream_renderer({"model": "m", "stream_options": {"include_usage": True}})
    return b"".join(map(renderer.render, events)) + renderer.end()


def accumulated(wire: bytes, *, strict: bool = True) -> Json:
    """The message that Anthropic's SDK makes of a stream; `strict` checks each event with the SDK's own types, and the
    order of blocks."""
    snapshot, buffers, growing = None, dict[int, bytes](), None
    check: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    for frame in frames(wire):
        event = json.loads(frame.data)
        assert frame.event == event["type"]
        if event["type"] == "ping":
            continue
        if event["type"] == "content_block_start":
            assert growing is None, "one block at a time"
            growing = event["index"]
        elif event["type"].startswith("content_block"):
            assert growing == event["index"]
            growing = None if event["type"] == "content_block_stop" else growing
        known: Any = (
            check.validate_python(event) if strict else construct_type(type_=RawMessageStreamEvent, value=event)
        )
        snapshot = accumulate_event(event=known, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    assert growing is None
    read: Json = without_nulls(snapshot.to_dict(mode="json", warnings=False))
    return read


def checked(whole: Json) -> Json:
    """A whole answer, by the SDK's own types."""
    Message.model_validate(whole)
    read: Json = without_nulls(whole)
    return read


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


class AnthropicStub:
    """Answers what it is told to, once each; the last for ever. Keeps what it was asked, but for its models."""

    def __init__(self, *answers: Json | bytes | Response, models: Iterable[Json] = (), tokens: int = 42) -> None:
        self.answers: deque[Json | bytes | Response] = deque(answers)
        self.models = list(models)
        self.tokens = tokens
        self.asked: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.keys = {KEY}
        self.base_url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")  # as Anthropic's SDK has it
        if request.headers.get("x-api-key", bearer) not in self.keys:
            return refused(401, "authentication_error", "invalid x-api-key")
        if request.url.path == "/v1/models":
            return self._page(request.query_params)
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        self.paths.append(request.url.path)
        if request.url.path == "/v1/messages/count_tokens":
            return JSONResponse({"input_tokens": self.tokens}) if self.tokens else refused(500, "api_error", "broken")
        told = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(told, Response):
            return told
        if isinstance(told, bytes):
            return Response(told, media_type="text/event-stream")
        return Response(as_stream(told), media_type="text/event-stream") if body.get("stream") else JSONResponse(told)

    def _page(self, query: Any) -> Response:
        """Two models a page, whatever was asked for."""
        ids = [model["id"] for model in self.models]
        start = ids.index(query["after_id"]) + 1 if "after_id" in query else 0
        page = self.models[start : start + 2]
        more = start + 2 < len(ids)
        return JSONResponse(
            {"data": page, "has_more": more, "first_id": None, "last_id": page[-1]["id"] if page else None}
        )


def refused(status: int, kind: str, told: str, **headers: str) -> Response:
    body = {"type": "error", "error": {"type": kind, "message": told}, "request_id": "req_1"}
    return JSONResponse(body, status_code=status, headers={name.replace("_", "-"): v for name, v in headers.items()})


@asynccontextmanager
async def stubbed(*answers: Json | bytes | Response, **more: Any) -> AsyncIterator[AnthropicStub]:
    stub = AnthropicStub(*answers, **more)
    async with served(stub) as url:
        stub.base_url = url
        yield stub


def stub_row(stub: AnthropicStub, *, models: Iterable[str] = ("claude-sonnet-5",), **more: Any) -> Json:
    """A provider of the configuration that is `stub`."""
    return {"type": "anthropic", "base_url": stub.base_url, "api_key": KEY, "models": list(models), **more}
