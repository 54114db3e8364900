"""OpenAI's words ⇄ canonical ones, by hand and over recorded traffic."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.canonical.answer import Answer
from llm_service.canonical.events import (
    Cited,
    Ended,
    Event,
    Finished,
    LogprobsTold,
    Piece,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageCounted,
)
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import (
    Citation,
    CompletionRequest,
    Image,
    Message,
    Reasoning,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from llm_service.dialects import OPENAI
from llm_service.dialects.base import StreamParser, extra_fields
from llm_service.errors import NotExpressible, ProviderError
from shared.errors import Unprocessable
from shared.events import Usage
from shared.http.frames import Frame, FrameReader
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


def test_values_that_ask_for_nothing_are_no_loss_elsewhere() -> None:
    request = OPENAI.parse_request(
        {
            "model": "m",
            "messages": [],
            "n": 1,
            "store": False,
            "logit_bias": {},
            "logprobs": False,
            "modalities": ["text"],
        }
    )
    assert request.extra is None
    assert request.logprobs is None


def test_fields_of_this_dialect_alone_are_lost_on_others() -> None:
    request = OPENAI.parse_request({"model": "m", "messages": [], "n": 2, "store": True})
    losses = Losses(allowed=True)
    assert extra_fields(request, dialect="anthropic", losses=losses) == {}
    assert losses.fields == ["store", "n"]
    with pytest.raises(NotExpressible, match="'n'"):
        extra_fields(request, dialect="anthropic", losses=Losses())
    assert extra_fields(request, dialect="openai", losses=Losses()) == {"n": 2, "store": True}


LIKELIEST = TokenLogprob(token="Br", logprob=-0.5)
SEALED: list[Event] = [
    Started(id="a", model="m", created=1),
    ReasoningDelta(text="Hm, "),
    ReasoningDelta(text="Brasília."),
    ReasoningDelta(signature=Signature(dialect="anthropic", value="c2VhbA==")),
    ReasoningDelta(redacted=Signature(dialect="anthropic", value="ZGFyaw==")),
    TextDelta("Brasília"),
    Cited(Citation(url="https://example.com", title="Brasil", cited_text="Brasília é…")),
    ToolCallDelta(index=0, id="c1", name="look", arguments='{"a"', signature=Signature(dialect="gemini", value="Zw==")),
    ToolCallDelta(index=0, arguments=":1}"),
    ToolCallDelta(index=1, id="c2", name="look", arguments="{}"),
    LogprobsTold(
        (TokenLogprob(token="Br", logprob=-0.5, bytes=(66, 114), top=(TokenLogprob(token="Br", logprob=-0.5),)),)
    ),
    Finished("tool_calls", native="tool_calls"),
    UsageCounted(Usage(input_tokens=9, output_tokens=3, cached_input_tokens=2, reasoning_tokens=1)),
    Ended(),
]


def parsed_stream(wire: bytes) -> Answer:
    parser, answer = OPENAI.stream_parser(), Answer()
    for frame in FrameReader().feed(wire):
        for event in parser.read(frame):
            answer.add(event)
    return answer


WORD = st.sampled_from(["", "a", "é", None])
CHUNK = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries(
                {"delta": st.fixed_dictionaries({}, optional={"role": WORD, "content": WORD, "reasoning": WORD})},
                optional={
                    "index": st.sampled_from([0, 1, None]),
                    "finish_reason": st.sampled_from(["stop", "length", "tool_calls", "odd", "error", "", None]),
                },
            ),
            max_size=2,
        )
    },
    optional={
        "id": WORD,
        "model": WORD,
        "created": st.sampled_from([0, 7, None, "8"]),
        "usage": st.sampled_from([None, {"prompt_tokens": 1, "completion_tokens": 2}]),
        "error": st.sampled_from([None, {"message": "no"}]),
    },
)


@given(st.lists(CHUNK, max_size=4))
def test_the_quick_way_to_read_chunks_tells_what_the_other_tells(chunks: list[dict[str, Any]]) -> None:
    """A field that nobody knows makes it the other."""

    def told(parser: StreamParser, chunk: dict[str, Any]) -> object:
        try:
            return parser.read(Frame(b"", "", msgspec.json.encode(chunk)))
        except ProviderError as error:
            return error.kind

    one, other = OPENAI.stream_parser(), OPENAI.stream_parser()
    for chunk in chunks:
        assert told(one, chunk) == told(other, {**chunk, "unknown": 1})


def test_what_other_providers_say_survives_this_wire_streamed_and_whole() -> None:
    original = collected([Piece(b"", tuple(SEALED))])
    renderer = OPENAI.stream_renderer({"stream_options": {"include_usage": True}})
    streamed_again = parsed_stream(b"".join(map(renderer.render, SEALED)) + renderer.end())
    body = msgspec.json.encode(OPENAI.render_answer(original))
    whole_again = collected([Piece(b"", OPENAI.parse_answer(body))])
    for again in (streamed_again, whole_again):
        assert again.tool_calls == original.tool_calls
        assert again.logprobs == original.logprobs
        assert again.usage == original.usage
        assert again.finished == original.finished
        assert [part for part in again.parts if isinstance(part, Reasoning)] == [
            part for part in original.parts if isinstance(part, Reasoning)
        ]
        cited = next(part for part in again.parts if isinstance(part, Text))
        assert cited.text == "Brasília"
        assert [(one.url, one.title, one.cited_text) for one in cited.citations] == [
            ("https://example.com", "Brasil", "Brasília é…")
        ]


def test_sealed_thoughts_come_back_in_the_clients_next_turn() -> None:
    answer = collected([Piece(b"", tuple(SEALED))])
    message = OPENAI.render_answer(answer)["choices"][0]["message"]
    asked = OPENAI.parse_request({"model": "m", "messages": [message]})
    kept = [part for part in asked.messages[0].parts if isinstance(part, Reasoning | ToolCall)]
    assert kept == [part for part in answer.parts if isinstance(part, Reasoning | ToolCall)]


def test_images_in_results_of_tools_stand_below_all_results() -> None:
    image = Image(data="aGk=", media_type="image/png")
    request = CompletionRequest(
        model="m",
        messages=(
            Message(role="assistant", parts=(ToolCall(id="1", name="a", arguments="{}"),)),
            Message(
                role="user",
                parts=(
                    ToolResult(tool_call_id="1", parts=(image,)),
                    ToolResult(tool_call_id="2", parts=(Text("no such file"),), is_error=True),
                    Text("E agora?"),
                ),
            ),
        ),
    )
    messages = OPENAI.render_request(request, stream=False, losses=Losses())["messages"]
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool", "user", "user"]
    assert messages[2]["content"] == "Error: no such file"
    assert messages[3]["content"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]


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
