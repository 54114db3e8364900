"""A server on loopback that answers as Gemini was told to, and remembers what it was asked."""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.serving import served

Json = dict[str, Any]
KEY = "AIza-simulated"


@dataclass(frozen=True)
class Asked:
    """One request. `path` as it was sent, with its query."""

    path: str
    headers: dict[str, str]
    body: Json


@dataclass
class GeminiStub:
    """Answers come from `answers`, in their order: a body, or (status, content type, bytes); lists from `pages`."""

    base_url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: deque[Json | list[Json] | tuple[int, str, bytes]] = field(default_factory=deque)
    pages: deque[Json] = field(default_factory=deque)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        path = scope["raw_path"].decode() + (f"?{query}" if query else "")
        answer: Any = {}
        if scope["method"] == "POST":
            self.asked.append(Asked(path, headers, json.loads(body)))
            answer = self.answers.popleft()
        elif self.pages:
            self.asked.append(Asked(path, headers, {}))
            answer = self.pages.popleft()
        status, kind, data = answer if isinstance(answer, tuple) else (200, *_written(answer))
        start = {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]}
        await send(start)
        await send({"type": "http.response.body", "body": data})


def _written(answer: Json | list[Json]) -> tuple[str, bytes]:
    if isinstance(answer, dict):
        return "application/json; charset=UTF-8", json.dumps(answer).encode()
    events = (b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in answer)
    return "text/event-stream", b"".join(events)


@asynccontextmanager
async def gemini(*answers: Json | list[Json] | tuple[int, str, bytes]) -> AsyncIterator[GeminiStub]:
    """A list is a stream of chunks."""
    stub = GeminiStub(answers=deque(answers))
    async with served(stub) as address:
        stub.base_url = f"{address}/v1beta"
        yield stub


def row(stub: GeminiStub, *models: str) -> Json:
    """A provider of the configuration that is `stub`."""
    return {
        "type": "gemini",
        "base_url": stub.base_url,
        "api_key": KEY,
        "models": list(models or ("gemini-3.5-flash",)),
    }
