"""Providers that send anything: what is no answer falls back or is told, and nothing of it is our own failure."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.llm_service.serving import SURFACES, Json, asking, events, serving

JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
DEEP = b'{"a":' * 50_000
DONE = b"data: [DONE]\n\n"
PRICED = {"gpt-4o": {"prices": {"input": 1, "output": 1}}}


@asynccontextmanager
async def liar(head: bytes, body: bytes, *, stays: bool = False) -> AsyncIterator[str]:
    """Where every request gets these bytes; `stays`: the connection is left open after them."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            asked = await reader.readuntil(b"\r\n\r\n")
            length = asked.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            writer.write(head + b"connection: close\r\n\r\n" + body)
            await writer.drain()
            if stays:
                await over.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()
        await server.wait_closed()


def lying(url: str) -> dict[str, Json]:
    return {
        "liar": {"type": "openai_compatible", "base_url": url, "api_key": "sk-not-to-be-told", "models": ["gpt-4o"]}
    }


def whole(**fields: Any) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Olá"}}
    return json.dumps({"id": "x", "model": "m", "created": 1, "choices": [choice], **fields}).encode()


def chunk(delta: Json, finish_reason: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return (
        b"data: "
        + json.dumps({"id": "x", "model": "m", "created": 1, "choices": [choice], **fields}).encode()
        + b"\n\n"
    )


@pytest.mark.parametrize("surface", [*SURFACES, "/v1/messages", "/api/llm/messages"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("head", "body"),
    [
        (JSON, DEEP),
        (SSE, b"data: " + DEEP + b"\n\n"),
        (b"HTTP/1.1 400 Bad Request\r\n", DEEP),
        (b"HTTP/1.1 400 Bad Request\r\n", b'{"error": "\xff"}'),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n", b""),
        (JSON + b"content-encoding: gzip\r\n", b"no gzip"),
        (JSON, b'{"error": {"message": null, "code": "\xc2\xb2\xc2\xb3\xc2\xb9"}}'),
        (JSON, b"<html>"),
        (SSE, b"data: <html>\n\n"),
    ],
)
async def test_nonsense_is_the_providers_failure(
    surface: str, stream: bool, head: bytes, body: bytes, tmp_path: Path
) -> None:
    async with liar(head, body) as url, serving(tmp_path, lying(url)) as llm:
        answer = await llm.post(surface, json=asking(stream=stream, max_tokens=9))
    assert answer.status_code in (400, 502, 503), answer.text
    assert "provider_" in answer.text
    assert "sk-not-to-be-told" not in answer.text + str(answer.headers)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"retry-after-ms: nan", 1),
        (b"retry-after-ms: inf", 86_400),
        (b"retry-after-ms: -5000", 1),
        (b"retry-after: " + b"9" * 400, 86_400),
        (b"retry-after: Fri, 31 Dec 9999 23:59:59 -2359", 86_400),
    ],
)
async def test_an_absurd_time_to_wait_is_a_limit_like_any_other(header: bytes, told: int, tmp_path: Path) -> None:
    head = b"HTTP/1.1 429 Too Many Requests\r\n" + header + b"\r\n"
    async with liar(head, b"{}") as url, serving(tmp_path, lying(url)) as llm:
        answer = await llm.post(SURFACES[0], json=asking())
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) == told


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1_000_000, "completion_tokens": -5},
        {"prompt_tokens": 10**18, "completion_tokens": 10**25},
        {"prompt_tokens": 1e300, "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": -(10**6)}},
    ],
)
async def test_absurd_numbers_of_tokens_are_not_charged_but_estimated(usage: Json, tmp_path: Path) -> None:
    async with liar(JSON, whole(usage=usage)) as url, serving(tmp_path, lying(url), models=PRICED) as llm:
        answer = await llm.post(SURFACES[0], json=asking())
    assert 0 < float(answer.headers["x-synapscale-cost-usd"]) < 0.001
    frames = chunk({"content": "Olá"}) + chunk({}, "stop", usage=usage) + DONE
    async with liar(SSE, frames) as url, serving(tmp_path, lying(url), models=PRICED) as llm:
        last = events((await llm.post(SURFACES[1], json=asking(stream=True))).text)[-1]
    assert 0 < float(last["cost_usd"]) < 0.001
    assert last["usage"]["estimated"]


async def test_arguments_that_are_an_object_are_told_as_text(tmp_path: Path) -> None:
    call = {"index": 10**9, "id": None, "function": {"name": "look_up", "arguments": {"city": "Brasília"}}}
    frames = chunk({"tool_calls": [call]}) + chunk({}, "tool_calls") + DONE
    async with liar(SSE, frames) as url, serving(tmp_path, lying(url)) as llm:
        told = events((await llm.post(SURFACES[1], json=asking(stream=True))).text)
    assert [one["type"] for one in told] == ["start", "tool_call", "usage", "done"]
    assert json.loads(told[1]["arguments"]) == {"city": "Brasília"}


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("after", [b"", (chunk({"content": "more"}) + DONE) * 3])
async def test_an_answer_that_has_ended_is_over_though_its_connection_stays_open(
    surface: str, after: bytes, tmp_path: Path
) -> None:
    frames = chunk({"content": "Olá"}) + chunk({}, "stop") + DONE
    async with liar(SSE, frames + after, stays=True) as url, serving(tmp_path, lying(url)) as llm:
        answer = await llm.post(surface, json=asking(stream=True), timeout=10)
        status = (await llm.get("/api/llm/providers")).json()["data"][0]
    assert "error" not in answer.text
    assert "more" not in answer.text
    assert status["status"] == "ok"


async def test_what_cannot_be_kept_is_answered_all_the_same(tmp_path: Path) -> None:
    frames = chunk({"content": "Olá"}, created=1e300) + chunk({}, "stop") + DONE
    async with liar(SSE, frames) as url, serving(tmp_path, lying(url)) as llm:
        answer = await llm.post(SURFACES[1], json=asking(stream=True, cache={"ttl": 60}))
    assert events(answer.text)[-1]["type"] == "done"


@pytest.mark.parametrize(
    "told",
    [
        {"data": [{"index": 0, "embedding": [None]}], "usage": {"prompt_tokens": 1}},
        {"data": [{"index": 0, "embedding": ["a"]}], "usage": {"prompt_tokens": 1}},
        {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": "1"}},
        {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": -1}},
        {"data": [{"index": 0, "embedding": [0.5]}]},
        {"data": []},
    ],
)
async def test_vectors_that_are_none_are_no_answer(told: Json, tmp_path: Path) -> None:
    body = json.dumps({"object": "list", "model": "m", **told}).encode()
    async with liar(JSON, body) as url, serving(tmp_path, lying(url)) as llm:
        answer = await llm.post("/api/llm/embeddings", json={"model": "gpt-4o", "input": "a"})
    assert answer.status_code == 502
    assert answer.json()["code"] == "provider_invalid_answer"
