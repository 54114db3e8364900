"""Recorded traffic of Gemini, on both of its platforms, replayed through the dialect."""

from typing import Any

import msgspec
import pytest
from google.genai import types

from llm_service.canonical.events import Event
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import Reasoning, Text
from llm_service.dialects import GEMINI, OPENAI
from llm_service.dialects.gemini.render_parts import UNSIGNED
from shared.http.frames import Frame
from tests.llm_service.gemini_words import collected, streamed, whole
from tests.llm_service.recordings import Recording, recordings

GENERATED = [r for r in recordings("gemini") if not isinstance(r, Recording) or "enerateContent" in r.uri]


def events_of(recording: Recording) -> list[Event]:
    return streamed(recording.body.encode()) if recording.is_stream else whole(recording.body)


def chunks_of(recording: Recording) -> list[dict[str, Any]]:
    if recording.is_stream:
        return [msgspec.json.decode(data) for data in recording.sse_data]
    return [recording.body]


@pytest.mark.parametrize("recording", GENERATED, ids=str)
def test_a_recorded_answer_is_understood(recording: Recording) -> None:
    answer = collected(events_of(recording))
    candidates = [chunk["candidates"][0] for chunk in chunks_of(recording)]
    parts = [part for one in candidates for part in one.get("content", {}).get("parts", ())]
    said = [part for part in parts if "text" in part]
    assert answer.text == "".join(part["text"] for part in said if not part.get("thought"))
    assert answer.reasoning == "".join(part["text"] for part in said if part.get("thought"))
    called = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [(call.name, msgspec.json.decode(call.arguments)) for call in answer.tool_calls] == [
        (call["name"], call["args"]) for call in called
    ]
    signatures = [call.signature for call in answer.tool_calls]
    signatures += [part.signature for part in answer.parts if isinstance(part, Reasoning)]
    sealed = {part["thoughtSignature"] for part in parts if "thoughtSignature" in part and "toolCall" not in part}
    sealed -= {part["thoughtSignature"] for part in parts if "toolResponse" in part}
    assert {one.value for one in signatures if one} == sealed
    assert answer.finished is not None
    assert answer.finished.native == candidates[-1]["finishReason"]
    assert answer.usage is not None
    assert answer.usage.total_tokens == chunks_of(recording)[-1]["usageMetadata"]["totalTokenCount"]


@pytest.mark.parametrize("recording", GENERATED, ids=str)
def test_a_recorded_answer_is_written_again_as_google_writes_it(recording: Recording) -> None:
    events = events_of(recording)
    answer = collected(events)
    body = GEMINI.render_answer(answer)
    types.GenerateContentResponse.model_validate(body)
    again = collected(whole(body))
    assert (again.text, again.reasoning, again.tool_calls) == (answer.text, answer.reasoning, answer.tool_calls)
    assert (again.finished, again.usage, again.logprobs) == (answer.finished, answer.usage, answer.logprobs)
    renderer = GEMINI.stream_renderer({"model": "gemini-3"})
    wire = b"".join(map(renderer.render, events)) + renderer.end()
    for line in filter(None, wire.decode().splitlines()):
        types.GenerateContentResponse.model_validate_json(line.removeprefix("data: "))
    replayed = collected(streamed(wire))
    assert (replayed.text, replayed.reasoning, replayed.tool_calls) == (
        answer.text,
        answer.reasoning,
        answer.tool_calls,
    )
    assert (replayed.finished, replayed.usage) == (answer.finished, answer.usage)


@pytest.mark.parametrize("recording", GENERATED, ids=str)
def test_citations_of_a_recorded_answer_stand_where_their_words_stand(recording: Recording) -> None:
    supports: list[dict[str, Any]] = []
    for chunk in chunks_of(recording):
        supports += chunk["candidates"][0].get("groundingMetadata", {}).get("groundingSupports", ())
    words = {support["segment"]["text"] for support in supports}
    cited = {
        part.text[one.start : one.end]
        for part in collected(events_of(recording)).parts
        if isinstance(part, Text)
        for one in part.citations
    }
    assert cited == words


@pytest.mark.parametrize("recording", GENERATED, ids=str)
def test_a_recorded_answer_reaches_an_openai_client(recording: Recording) -> None:
    events = events_of(recording)
    answer = collected(events)
    message = OPENAI.render_answer(answer)["choices"][0]["message"]
    assert (message["content"] or "") == answer.text
    renderer = OPENAI.stream_renderer({"stream_options": {"include_usage": True}})
    parser = OPENAI.stream_parser()
    wire = b"".join(map(renderer.render, events)) + renderer.end()
    frames = [line.removeprefix("data: ").encode() for line in wire.decode().splitlines() if line]
    again = collected(event for data in frames for event in parser.read(Frame(b"", "", data)))
    assert again.text == answer.text
    assert [(one.id, one.name, one.arguments) for one in again.tool_calls] == [
        (one.id, one.name, one.arguments) for one in answer.tool_calls
    ]
    assert again.usage is not None
    assert answer.usage is not None
    assert again.usage.total_tokens == answer.usage.total_tokens
    assert again.usage.reasoning_tokens == answer.usage.reasoning_tokens


@pytest.mark.parametrize("recording", GENERATED, ids=str)
def test_a_recorded_request_survives_the_round_trip(recording: Recording) -> None:
    sent = recording.request
    model = recording.uri.rpartition("/models/")[2].partition(":")[0]
    before = GEMINI.parse_request({**sent, "model": model})
    again = GEMINI.render_request(before, stream=False, losses=Losses())
    assert GEMINI.parse_request({**again, "model": model}) == before
    assert len(again["contents"]) == len(sent["contents"])
    for content, recorded in zip(again["contents"], sent["contents"], strict=True):
        types.Content.model_validate(content)
        assert len(content["parts"]) == len(recorded["parts"])
        assert [part.get("functionCall") for part in content["parts"]] == [
            part.get("functionCall") for part in recorded["parts"]
        ]
        for part, original in zip(content["parts"], recorded["parts"], strict=True):
            assert part.get("thoughtSignature", UNSIGNED) == original.get("thoughtSignature", UNSIGNED)
