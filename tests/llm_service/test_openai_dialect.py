"""OpenAI's words ⇄ canonical ones, by hand and over recorded traffic."""

from typing import Any

import msgspec
import pytest

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import Piece
from llm_service.canonical.losses import Losses
from llm_service.dialects import OPENAI
from llm_service.errors import NotExpressible, ProviderError
from shared.errors import Unprocessable
from shared.http.frames import Frame
from tests.llm_service.recordings import Recording, recordings

PIXEL = "iVBORw0KGgo="
EVERYTHING: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "kind."}]},
        {
            "role": "user",
            "name": "ana",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "tomorrow", "tomorrow": {"x": 1}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "see", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "assistant", "content": "A cat.", "reasoning_content": "It has whiskers."},
        {"role": "user", "content": "Sure?"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "see", "description": "Looks.", "parameters": {"type": "object"}, "strict": True},
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "see"}},
    "parallel_tool_calls": False,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
    },
    "max_completion_tokens": 100,
    "temperature": 0.5,
    "top_p": 1,
    "frequency_penalty": 0.1,
    "presence_penalty": -0.1,
    "seed": 7,
    "stop": ["END", "STOP"],
    "logprobs": True,
    "top_logprobs": 2,
    "reasoning_effort": "low",
    "service_tier": "flex",
    "user": "ana",
    "metadata": {"k": "v"},
    "prediction": {"type": "content", "content": "A cat."},
}


def test_everything_that_the_dialect_can_say_survives_the_round_trip() -> None:
    request = OPENAI.parse_request(EVERYTHING)
    assert OPENAI.render_request(request, stream=False, losses=Losses()) == {**EVERYTHING, "stream": False}
    assert OPENAI.parse_request(OPENAI.render_request(request, stream=False, losses=Losses())) == request


def test_shorthands_are_understood() -> None:
    request = OPENAI.parse_request(
        {
            "model": "m",
            "messages": [{"role": "developer", "content": "x"}],
            "max_tokens": 5,
            "stop": "END",
            "tool_choice": "required",
            "response_format": {"type": "json_object"},
        }
    )
    rendered = OPENAI.render_request(request, stream=True, losses=Losses())
    assert rendered["messages"] == [{"role": "system", "content": "x"}]
    assert rendered["max_completion_tokens"] == 5
    assert rendered["stop"] == ["END"]
    assert rendered["tool_choice"] == "required"
    assert rendered["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"messages": [{"role": "wizard", "content": "x"}]}, "/messages/0/role"),
        ({"messages": [{"role": "user", "content": 3}]}, "/messages/0/content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "/messages/0/content/0/image_url"),
        ({"messages": ["x"]}, "/messages/0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "/messages/0/tool_call_id"),
        ({"temperature": "hot"}, "/temperature"),
        ({"temperature": True}, "/temperature"),
        ({"seed": 1.5}, "/seed"),
        ({"max_tokens": "many"}, "/max_completion_tokens"),
        ({"stop": [1]}, "/stop/0"),
        ({"tools": [{"type": "function"}]}, "/tools/0/function"),
        ({"tools": [{"type": "custom"}]}, "/tools/0/type"),
        ({"tool_choice": "maybe"}, "/tool_choice"),
        ({"response_format": {"type": "xml"}}, "/response_format"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        OPENAI.parse_request({"model": "m", "messages": [{"role": "user", "content": "x"}], **change})
    assert refused.value.extra["errors"][0]["pointer"] == pointer


def test_a_part_of_another_dialect_is_not_sent() -> None:
    request = OPENAI.parse_request(EVERYTHING)
    foreign = msgspec.json.decode(msgspec.json.encode(request).replace(b'"dialect":"openai"', b'"dialect":"other"'))
    with pytest.raises(NotExpressible):
        OPENAI.render_request(msgspec.convert(foreign, type(request)), stream=False, losses=Losses())


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": 3}]}', b'{"choices": [3]}']
)
def test_a_body_that_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ProviderError):
        OPENAI.parse_answer(body)


def collected(pieces: list[Piece]) -> Answer:
    answer = Answer()
    for piece in pieces:
        for event in piece.events:
            answer.add(event)
    return answer


def streamed(recording: Recording) -> list[Piece]:
    parser = OPENAI.stream_parser()
    return [Piece(data.encode(), parser.read(Frame(b"", "", data.encode()))) for data in recording.sse_data]


@pytest.mark.parametrize("recording", recordings("openai", "groq", "huggingface"), ids=str)
def test_a_recorded_answer_is_understood(recording: Recording) -> None:
    if recording.is_stream:
        answer = collected(streamed(recording))
        assert answer.finished is not None
    elif recording.status == 200:
        body = recording.body
        if not isinstance(body, dict) or body.get("object") != "chat.completion":
            with pytest.raises(ProviderError):
                OPENAI.parse_answer(msgspec.json.encode(body))
            return
        answer = collected([Piece(b"", OPENAI.parse_answer(msgspec.json.encode(body)))])
        message = body["choices"][0]["message"]
        assert answer.text == (message.get("content") or "")
        assert [call.arguments for call in answer.tool_calls] == [
            call["function"]["arguments"] for call in message.get("tool_calls") or []
        ]
        assert all(call.id for call in answer.tool_calls)
        assert answer.usage is not None
        assert answer.usage.total_tokens == body["usage"]["total_tokens"]
    else:
        error = OPENAI.parse_error(recording.status, msgspec.json.encode(recording.body))
        assert error.message
        assert error.status == recording.status


@pytest.mark.parametrize("recording", recordings("openai", "groq", "huggingface"), ids=str)
def test_a_recorded_request_survives_the_round_trip(recording: Recording) -> None:
    if not recording.uri.endswith("/chat/completions"):
        assert "/chat/completions" not in recording.uri
        return
    sent = recording.request
    if any(tool.get("type") != "function" for tool in sent.get("tools", [])):
        with pytest.raises(Unprocessable):
            OPENAI.parse_request(sent)
        return
    request = OPENAI.parse_request(sent)
    assert (
        OPENAI.parse_request(OPENAI.render_request(request, stream=bool(sent.get("stream")), losses=Losses()))
        == request
    )


@pytest.mark.parametrize(
    "recording", [r for r in recordings("openai", "groq") if not isinstance(r, Recording) or r.is_stream], ids=str
)
def test_a_recorded_stream_rendered_again_says_the_same(recording: Recording) -> None:
    original = collected(streamed(recording))
    renderer = OPENAI.stream_renderer({"stream_options": {"include_usage": True}})
    wire = b"".join(renderer.render(event) for piece in streamed(recording) for event in piece.events) + renderer.end()
    parser = OPENAI.stream_parser()
    lines = [line.removeprefix("data: ") for line in wire.decode().splitlines() if line]
    again = collected([Piece(b"", parser.read(Frame(b"", "", line.encode()))) for line in lines])
    assert again.text == original.text
    assert again.tool_calls == original.tool_calls
    assert again.finished == original.finished
    assert again.usage == original.usage
