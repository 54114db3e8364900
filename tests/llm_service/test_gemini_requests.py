"""Requests ⇄ Gemini's `generateContent`."""

from typing import Any

import pytest

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import (
    CompletionRequest,
    Image,
    Message,
    OutputFormat,
    Tool,
    ToolCall,
    ToolResult,
)
from llm_service.dialects import GEMINI
from shared.errors import Unprocessable
from tests.llm_service.gemini_words import checked

Json = dict[str, Any]
PIXEL = "iVBORw0KGgo="
QUESTION = {"messages": [{"role": "user", "content": "Oi"}]}
SCHEMA = {
    "type": "object",
    "properties": {"pet": {"oneOf": [{"$ref": "#/$defs/Cat"}, {"type": "null"}]}},
    "$defs": {"Cat": {"type": "object", "properties": {"name": {"type": ["string", "null"]}}}},
    "required": ["pet"],
    "additionalProperties": False,
}
EVERYTHING: Json = {
    "model": "gemini-3.5-flash",
    "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "And kind."}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "What is this?"},
                {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
                {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
                {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
                {"fileData": {"fileUri": "https://example.com/cat", "mimeType": "image/png"}},
                {"fileData": {"fileUri": "https://example.com/files/1", "mimeType": "application/pdf"}},
                {"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"fps": 2.0}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "Let me see.", "thought": True},
                {"text": "I look.", "thoughtSignature": "c2VhbA=="},
                {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "bW9yZQ=="},
                {"functionCall": {"id": "c1", "name": "see", "args": {"a": 1}}, "thoughtSignature": "c2lnbg=="},
                {"functionCall": {"id": "c2", "name": "hear", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "c1",
                        "name": "see",
                        "response": {"output": "a cat"},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}],
                    }
                },
                {"functionResponse": {"id": "c2", "name": "hear", "response": {"error": "deaf"}}},
            ],
        },
        {"role": "model", "parts": [{"text": "A cat."}, {"text": "", "thoughtSignature": "bGFzdA=="}]},
        {"role": "user", "parts": [{"text": "Sure?"}]},
    ],
    "tools": [
        {"googleSearch": {}},
        {
            "functionDeclarations": [
                {"name": "see", "description": "Looks.", "parametersJsonSchema": SCHEMA},
                {"name": "hear"},
            ]
        },
        {"codeExecution": {}},
        {"urlContext": {}},
    ],
    "toolConfig": {
        "functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["see", "hear"]},
        "includeServerSideToolInvocations": True,
    },
    "generationConfig": {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "maxOutputTokens": 100,
        "seed": 7,
        "frequencyPenalty": 0.1,
        "presencePenalty": -0.1,
        "stopSequences": ["END"],
        "responseLogprobs": True,
        "logprobs": 2,
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
        "candidateCount": 2,
        "responseModalities": ["TEXT", "IMAGE"],
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "cachedContent": "cachedContents/1",
    "labels": {"team": "a"},
    "serviceTier": "flex",
    "tomorrow": {"x": 1},
}


def rendered(request: CompletionRequest, *, drop: bool = False) -> Json:
    return checked(GEMINI.render_request(request, stream=False, losses=Losses(allowed=drop)))


def conversation(*messages: Message, model: str = "gemini-3.5-flash", **fields: Any) -> CompletionRequest:
    return CompletionRequest(model=model, messages=messages, **fields)


def user(*parts: Any) -> Message:
    return Message(role="user", parts=parts)


def assistant(*parts: Any) -> Message:
    return Message(role="assistant", parts=parts)


def test_everything_that_the_dialect_can_say_survives_the_round_trip() -> None:
    request = GEMINI.parse_request(EVERYTHING)
    body = GEMINI.render_request(request, stream=False, losses=Losses())
    assert body == {name: value for name, value in EVERYTHING.items() if name != "model"}
    assert GEMINI.parse_request({**body, "model": EVERYTHING["model"]}) == request
    assert [tool.strict for tool in request.tools if isinstance(tool, Tool)] == [True, True]


def test_names_with_underscores_are_understood_and_contents_are_not_touched() -> None:
    body = {
        "model": "m",
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"file_data": {"file_uri": "https://example.com/a", "mime_type": "image/png"}},
                    {"inline_data": {"mime_type": "image/png", "data": PIXEL}},
                ],
            },
            {"role": "model", "parts": [{"function_call": {"name": "f", "args": {"snake_case": 1}}}]},
        ],
        "generation_config": {"max_output_tokens": 3, "thinking_config": None},
    }
    request = GEMINI.parse_request(body)
    assert request.messages[0].text == "Be brief."
    assert request.messages[1].parts == (
        Image(url="https://example.com/a", media_type="image/png"),
        Image(data=PIXEL, media_type="image/png"),
    )
    assert request.messages[2].parts == (ToolCall(id="call_1", name="f", arguments='{"snake_case":1}'),)
    assert request.max_output_tokens == 3


def test_calls_without_ids_and_their_results_find_each_other_by_name_in_order() -> None:
    call, result = {"functionCall": {"name": "f", "args": {}}}, {"functionResponse": {"name": "f", "response": {}}}
    contents = [{"role": "model", "parts": [call, call]}, {"role": "user", "parts": [result, result]}]
    request = GEMINI.parse_request({"model": "m", "contents": contents})
    calls, results = (message.parts for message in request.messages)
    assert [part.id for part in calls if isinstance(part, ToolCall)] == ["call_1", "call_2"]
    assert [part.tool_call_id for part in results if isinstance(part, ToolResult)] == ["call_1", "call_2"]


def test_the_older_schemas_become_json_schemas() -> None:
    older = {
        "type": "OBJECT",
        "properties": {
            "b": {"type": "STRING", "nullable": True, "enum": ["x"]},
            "a": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "1"},
            "c": {"anyOf": [{"type": "NUMBER"}], "nullable": True},
        },
        "propertyOrdering": ["a", "b", "c"],
    }
    body = {
        "model": "m",
        "contents": [{"parts": [{"text": "x"}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": older}]}],
        "generationConfig": {"responseSchema": older},
    }
    request = GEMINI.parse_request(body)
    expected = {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "b": {"type": ["string", "null"], "enum": ["x", None]},
            "c": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        },
    }
    tool = request.tools[0]
    assert isinstance(tool, Tool)
    assert tool.parameters == expected
    assert list(expected["properties"]) == list(tool.parameters["properties"])
    assert request.output_format == OutputFormat(mode="json_schema", name="answer", schema=expected)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"contents": "x"}, "/contents"),
        ({"contents": [{"parts": [{"text": 3}]}]}, "/contents/0/parts/0"),
        ({"contents": [{"role": "robot"}]}, "/contents/0/role"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "/contents/0/parts/0"),
        ({"contents": [{"parts": [{"inlineData": 3}]}]}, "/contents/0/parts/0"),
        ({"generationConfig": {"temperature": "hot"}}, "/generationConfig/temperature"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}, "/toolConfig/functionCallingConfig/mode"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "/tools/0/functionDeclarations/0"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(change: Json, pointer: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        GEMINI.parse_request({"model": "m", "contents": [{"parts": [{"text": "x"}]}], **change})
    assert refused.value.extra["errors"][0]["pointer"] == pointer
