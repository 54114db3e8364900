"""The simulator against recordings of the real OpenAI: the same question gets an answer of the same shape."""

import json
from typing import Any

import httpx2
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.simulators.recordings import JSON, Recording, chunks_of, needed, recordings, shape, shapes

pytestmark = needed

IGNORED_KEYS = {"moderation"}
"""Answers that judge their own content are not simulated: nothing here asks for them."""
IGNORED_HEADERS = {
    "alt-svc",  # an offer of HTTP/3
    "strict-transport-security",  # of TLS
    "connection",  # said by HTTP/1.1 itself
    "transfer-encoding",  # the recorder joined the chunks…
    "content-length",  # …and counted them
}


def interactions() -> list[tuple[str, Recording]]:
    """Only those with OpenAI itself, not with what resembles it."""
    return recordings("openai", "api.openai.com", holding="/v1/chat/completions")


def selected(*, streamed: bool) -> list[Any]:
    """Parameters for pytest."""
    return [pytest.param(one, id=name) for name, one in interactions() if bool(one.chunks) == streamed]


def told(chunks: list[JSON]) -> list[JSON]:
    return [chunk for chunk in chunks if not IGNORED_KEYS & chunk.keys()]


def steered(request: JSON, calls: list[tuple[str, str]]) -> JSON:
    """The same request, with a question that makes the simulator call the tools that the recorded model called."""
    if not calls:
        return request
    asked = "\n".join(f"call {name} {arguments}" for name, arguments in calls)
    return {**request, "messages": [*request["messages"], {"role": "user", "content": asked}]}


def calls_in(messages: list[JSON]) -> list[tuple[str, str]]:
    """The calls of a message, or of the deltas of one; models differ in the white space of their arguments."""
    calls: dict[int, list[str]] = {}
    for message in messages:
        for at, call in enumerate(message.get("tool_calls", ())):
            name, arguments = calls.setdefault(call.get("index", at), ["", ""])
            function = call["function"]
            calls[call.get("index", at)] = [name or function["name"], arguments + function["arguments"]]
    return [(name, json.dumps(json.loads(arguments))) for name, arguments in calls.values()]


async def put(plain: httpx2.AsyncClient, request: JSON) -> httpx2.Response:
    return await plain.post("/v1/chat/completions", json=request)


def test_there_are_recordings() -> None:
    assert len(selected(streamed=False)) > 20
    assert len(selected(streamed=True)) > 2


@pytest.mark.parametrize("recording", selected(streamed=False))
async def test_whole_answer_has_the_recorded_shape(plain: httpx2.AsyncClient, recording: Recording) -> None:
    messages = [choice["message"] for choice in recording.body.get("choices", ())]
    answer = await put(plain, steered(recording.request, calls_in(messages)))
    assert answer.status_code == recording.status
    if recording.status != 200:
        assert answer.json() == recording.body
        return
    ChatCompletion.model_validate(recording.body)
    ChatCompletion.model_validate(answer.json())
    assert shape(answer.json(), IGNORED_KEYS) == shape(recording.body, IGNORED_KEYS)
    assert answer.json()["model"] == recording.body["model"]
    assert answer.json()["choices"][0]["finish_reason"] == recording.body["choices"][0]["finish_reason"]
    assert calls_in([answer.json()["choices"][0]["message"]]) == calls_in(messages)


@pytest.mark.parametrize("recording", selected(streamed=True))
async def test_stream_has_the_recorded_shapes(plain: httpx2.AsyncClient, recording: Recording) -> None:
    deltas = [choice["delta"] for chunk in recording.chunks for choice in chunk["choices"]]
    answer = await put(plain, steered(recording.request, calls_in(deltas)))
    chunks = chunks_of(answer.text)
    for chunk in [*recording.chunks, *chunks]:
        ChatCompletionChunk.model_validate(chunk)
    assert answer.headers["content-type"] == recording.content_type
    assert shapes(chunks, IGNORED_KEYS) == shapes(told(recording.chunks), IGNORED_KEYS)
    assert [list(chunk) for chunk in chunks[:2]] == [list(chunk) for chunk in recording.chunks[:2]]
    assert calls_in([choice["delta"] for chunk in chunks for choice in chunk["choices"]]) == calls_in(deltas)


@pytest.mark.parametrize("recording", [*selected(streamed=False), *selected(streamed=True)])
async def test_recorded_headers_are_sent(plain: httpx2.AsyncClient, recording: Recording) -> None:
    answer = await put(plain, recording.request)
    assert recording.headers - IGNORED_HEADERS <= set(answer.headers)
    assert answer.headers["content-type"] == recording.content_type
