"""That an ingress of OpenAI's Responses needs no new canonical words: each of the SDK's types has its place."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from openai.types.responses.response_input_item import ResponseInputItem
from openai.types.responses.response_output_item import ResponseOutputItem
from openai.types.responses.response_output_text import Annotation
from openai.types.responses.response_stream_event import ResponseStreamEvent
from openai.types.responses.tool import Tool
from pydantic import TypeAdapter

from llm_service.canonical import events, request
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import Reasoning, Refusal, Signature, Text
from llm_service.dialects import ANTHROPIC, OPENAI
from shared.events import Usage
from tests.llm_service.recordings import Recording, recordings
from tests.llm_service.responses_words import (
    ANNOTATIONS,
    DIALECT,
    EVENTS,
    FIELDS,
    ITEMS,
    TOOLS,
    Elsewhere,
    request_of,
    usage_of,
)

Json = dict[str, Any]
PIXEL = "iVBORw0KGgo="


def names(union: Any) -> set[str]:
    """The values of `type` by which the members of one of the SDK's unions are told apart."""
    members = get_args(get_args(union)[0])
    return {name for member in members for name in literals(member.model_fields["type"].annotation)}


def literals(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for inner in get_args(annotation):
            yield from literals(inner)


@pytest.mark.parametrize(
    ("known", "placed"),
    [
        (names(ResponseStreamEvent), EVENTS),
        (names(ResponseInputItem) | names(ResponseOutputItem), ITEMS),
        (names(Tool), TOOLS),
        (names(Annotation), ANNOTATIONS),
        (set(ResponseCreateParamsBase.__annotations__), FIELDS),
    ],
    ids=["events", "items", "tools", "annotations", "fields"],
)
def test_every_type_of_the_sdk_has_a_place_or_a_reason_to_have_none(known: set[str], placed: dict[str, str]) -> None:
    assert placed.keys() == known
    for place in placed.values():
        if not isinstance(place, Elsewhere):
            assert exists(place), place


def exists(place: str) -> bool:
    module, name, *field = place.split(".")
    found = getattr({"request": request, "events": events}[module], name, None)
    return found is not None and set(field) <= set(found.__struct_fields__)


ASKED: Json = {
    "model": "gpt-5",
    "instructions": "Be brief.",
    "max_output_tokens": 100,
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}},
    "tools": [{"type": "function", "name": "see", "parameters": {"type": "object"}, "strict": True}],
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is there?"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Look first."}],
            "encrypted_content": "c2VhbA==",
        },
        {"type": "function_call", "call_id": "c1", "name": "see", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "c2", "name": "see", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "a cat"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
            ],
        },
        {"type": "function_call_output", "call_id": "c2", "output": "a dog"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "A cat.",
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url": "https://example.com",
                            "title": "Cats",
                            "start_index": 0,
                            "end_index": 5,
                        },
                        {"type": "file_citation", "file_id": "file_1", "filename": "a.pdf", "index": 0},
                    ],
                },
                {"type": "refusal", "refusal": "No more."},
            ],
        },
        {"role": "user", "content": "Sure?"},
    ],
}
USED: Json = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 29,
}


def test_a_conversation_is_held_without_loss() -> None:
    TypeAdapter(list[ResponseInputItem]).validate_python(ASKED["input"])
    held = request_of(ASKED)
    roles = [message.role for message in held.messages]
    assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]
    thought = held.messages[2].parts[0]
    assert thought == Reasoning(text="Look first.", signature=Signature(dialect=DIALECT, value='["rs_1","c2VhbA=="]'))
    said, refused = held.messages[5].parts
    assert isinstance(said, Text)
    assert [one.url for one in said.citations] == ["https://example.com", None]
    assert said.citations[1].native is not None
    assert said.citations[1].native.value["file_id"] == "file_1"
    assert refused == Refusal("No more.")
    assert usage_of(USED) == Usage(
        input_tokens=20, output_tokens=9, cached_input_tokens=5, cache_write_tokens=3, reasoning_tokens=4
    )


def test_it_can_be_asked_of_openais_chat() -> None:
    losses = Losses()
    asked = OPENAI.render_request(request_of(ASKED), stream=False, losses=losses)
    assert losses.fields == []
    again = OPENAI.parse_request(asked)
    roles = [message["role"] for message in asked["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "user", "assistant", "user"]
    assert [call["id"] for call in asked["messages"][2]["tool_calls"]] == ["c1", "c2"]
    assert f"data:image/png;base64,{PIXEL}" in str(asked["messages"][5]), "the tool's image stands below its results"
    assert "No more." in str(asked["messages"])
    assert again.output_format == request_of(ASKED).output_format
    assert (asked["reasoning_effort"], asked["max_completion_tokens"]) == ("low", 100)
    assert again.tools == request_of(ASKED).tools


def test_it_can_be_asked_of_anthropic() -> None:
    losses = Losses(allowed=True)
    asked = ANTHROPIC.render_request(request_of(ASKED), stream=False, losses=losses)
    blocks = [block for message in asked["messages"] for block in message["content"] if isinstance(block, dict)]
    kinds = [block["type"] for block in blocks]
    assert kinds.count("tool_use") == kinds.count("tool_result") == 2
    assert {"image", "document"} <= set(kinds)
    (seen,) = [block for block in blocks if block["type"] == "tool_result" and block["tool_use_id"] == "c1"]
    assert [part["type"] for part in seen["content"]] == ["text", "image"]
    assert "A cat." in str(asked["messages"])
    assert "Be brief." in str(asked["system"])
    assert losses.fields == ["image_url.detail"], "a hint that Anthropic has no word for"


RECORDED = [
    one
    for one in recordings("anthropic", "gemini", "mistral")
    if not isinstance(one, Recording) or one.uri.endswith("/responses")
]


@pytest.mark.parametrize("recording", RECORDED, ids=str)
def test_a_recorded_exchange_and_its_next_turn_are_held_and_asked_of_others(recording: Recording) -> None:
    body = {**recording.request, "input": [*recording.request["input"]]}
    if isinstance(recording.body, dict):
        body["input"] += recording.body["output"]
        assert usage_of(recording.body["usage"]).total_tokens == recording.body["usage"]["total_tokens"]
    held = request_of(body)
    for dialect in (OPENAI, ANTHROPIC):
        losses = Losses(allowed=True)
        rendered = str(dialect.render_request(held, stream=False, losses=losses))
        for message in held.messages:
            assert message.text in rendered or repr(message.text)[1:-1] in rendered
        assert {field.partition(".")[0] for field in losses.fields} <= {"tools", "web_search_call"}
