"""The simulator against recordings of the real OpenAI: the same question gets an answer of the same shape.

The recordings are not part of the project. SYNAPSCALE_CASSETTES names the folder that holds them, as `openai/*.yaml` in
the format of VCR; without it these tests are skipped.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from openai.types.chat import ChatCompletion, ChatCompletionChunk

FOLDER = os.environ.get("SYNAPSCALE_CASSETTES", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="SYNAPSCALE_CASSETTES names no folder of recordings")

JSON = dict[str, Any]
COMPLETIONS = "https://api.openai.com/v1/chat/completions"
IGNORED_KEYS = {"moderation"}
"""Answers that judge their own content are not simulated: nothing here asks for them."""
IGNORED_HEADERS = {
    "alt-svc",  # an offer of HTTP/3
    "strict-transport-security",  # of TLS
    "connection",  # said by HTTP/1.1 itself
    "transfer-encoding",  # the recorder joined the chunks…
    "content-length",  # …and counted them
}


@dataclass(frozen=True)
class Recording:
    """One request to OpenAI's chat API, and its answer."""

    request: JSON
    status: int
    headers: frozenset[str]
    content_type: str
    body: JSON
    """Empty if the answer is a stream."""
    chunks: list[JSON]


@cache
def interactions() -> list[tuple[str, Recording]]:
    """With the names of their files; only those with OpenAI itself, not with what resembles it."""
    found = []
    for path in sorted(Path(FOLDER, "openai").glob("*.yaml")) if FOLDER else []:
        recorded = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["interactions"]
        found += [(path.stem, read(one)) for one in recorded if one["request"]["uri"] == COMPLETIONS]
    return found


def recordings(*, streamed: bool) -> list[Any]:
    """Parameters for pytest."""
    return [pytest.param(one, id=name) for name, one in interactions() if bool(one.chunks) == streamed]


def read(interaction: JSON) -> Recording:
    response = interaction["response"]
    headers = {name.lower(): values[0] for name, values in response["headers"].items()}
    return Recording(
        request=interaction["request"]["parsed_body"],
        status=response["status"]["code"],
        headers=frozenset(headers),
        content_type=headers["content-type"],
        body=response.get("parsed_body", {}),
        chunks=chunks_of(response.get("body", {}).get("string", "")),
    )


def chunks_of(stream: str) -> list[JSON]:
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def shape(value: Any) -> Any:
    """Keys and types without the values; a list is the shapes of its elements."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items() if key not in IGNORED_KEYS}
        case list():
            return [shape(inner) for inner in value]
        case _:
            return type(value).__name__


def shapes(chunks: list[JSON]) -> list[Any]:
    """One for each run of equal shapes: a word more or less is no difference."""
    return [one for one, _ in groupby(shape(chunk) for chunk in chunks if not IGNORED_KEYS & chunk.keys())]


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
    assert len(recordings(streamed=False)) > 20
    assert len(recordings(streamed=True)) > 2


@pytest.mark.parametrize("recording", recordings(streamed=False))
async def test_whole_answer_has_the_recorded_shape(plain: httpx2.AsyncClient, recording: Recording) -> None:
    messages = [choice["message"] for choice in recording.body.get("choices", ())]
    answer = await put(plain, steered(recording.request, calls_in(messages)))
    assert answer.status_code == recording.status
    if recording.status != 200:
        assert answer.json() == recording.body
        return
    ChatCompletion.model_validate(recording.body)
    ChatCompletion.model_validate(answer.json())
    assert shape(answer.json()) == shape(recording.body)
    assert answer.json()["model"] == recording.body["model"]
    assert answer.json()["choices"][0]["finish_reason"] == recording.body["choices"][0]["finish_reason"]
    assert calls_in([answer.json()["choices"][0]["message"]]) == calls_in(messages)


@pytest.mark.parametrize("recording", recordings(streamed=True))
async def test_stream_has_the_recorded_shapes(plain: httpx2.AsyncClient, recording: Recording) -> None:
    deltas = [choice["delta"] for chunk in recording.chunks for choice in chunk["choices"]]
    answer = await put(plain, steered(recording.request, calls_in(deltas)))
    chunks = chunks_of(answer.text)
    for chunk in [*recording.chunks, *chunks]:
        ChatCompletionChunk.model_validate(chunk)
    assert answer.headers["content-type"] == recording.content_type
    assert shapes(chunks) == shapes(recording.chunks)
    assert [list(chunk) for chunk in chunks[:2]] == [list(chunk) for chunk in recording.chunks[:2]]
    assert calls_in([choice["delta"] for chunk in chunks for choice in chunk["choices"]]) == calls_in(deltas)


@pytest.mark.parametrize("recording", [*recordings(streamed=False), *recordings(streamed=True)])
async def test_recorded_headers_are_sent(plain: httpx2.AsyncClient, recording: Recording) -> None:
    answer = await put(plain, recording.request)
    assert recording.headers - IGNORED_HEADERS <= set(answer.headers)
    assert answer.headers["content-type"] == recording.content_type
