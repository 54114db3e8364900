"""What the tests of Gemini's dialect share: events read and collected, and Google's types as judge of what we write."""

import json
from collections.abc import Iterable
from typing import Any

from google.genai import types

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Event
from llm_service.canonical.losses import Losses
from llm_service.dialects import GEMINI, OPENAI
from shared.http.frames import FrameReader

Json = dict[str, Any]
KNOWN_FIELDS = {
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
    "cachedContent",
    "labels",
    "serviceTier",
    "store",
}


def part_answer(*parts: Json, reason: str | None = "STOP", **rest: Any) -> Json:
    """A GenerateContentResponse, whole or a chunk (without `reason`)."""
    candidate: Json = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    usage = rest.pop("usage", {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8})
    candidate |= rest
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3", "responseId": "r1"}


def sse(*chunks: Json) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\r\n\r\n" for chunk in chunks)


def streamed(wire: bytes) -> list[Event]:
    parser = GEMINI.stream_parser()
    reader = FrameReader()
    return [event for frame in (*reader.feed(wire), *reader.end()) for event in parser.read(frame)]


def whole(answer: Json) -> list[Event]:
    return list(GEMINI.parse_answer(json.dumps(answer).encode()))


def collected(events: Iterable[Event]) -> Answer:
    answer = Answer()
    for event in events:
        answer.add(event)
    return answer


def asked_of_gemini(body: Json, *, model: str = "gemini-3.5-flash", drop: bool | list[str] = False) -> Json:
    """An OpenAI client's request as Gemini gets it; checked by Google's own types."""
    request = OPENAI.parse_request({"model": model, **body})
    return checked(GEMINI.render_request(request, stream=False, losses=Losses(allowed=drop)))


def checked(body: Json) -> Json:
    """Asserts that Google's types, which forbid unknown fields, take every part of the request."""
    assert body.keys() <= KNOWN_FIELDS
    for content in (*body["contents"], body.get("systemInstruction", {})):
        types.Content.model_validate(content)
    for tool in body.get("tools", []):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(body.get("toolConfig", {}))
    config = dict(body.get("generationConfig", {}))
    types.GenerationConfig.model_validate(config)
    return body
