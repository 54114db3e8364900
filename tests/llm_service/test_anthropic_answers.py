"""What Anthropic answers, read; and what anybody answers, written as Anthropic would."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.canonical.events import (
    Cited,
    Ended,
    Event,
    Finished,
    FinishReason,
    NativeAdded,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageCounted,
    bears_content,
)
from llm_service.canonical.request import Citation, Native, Reasoning, Signature, Text
from llm_service.dialects import ANTHROPIC, OPENAI
from shared.errors import DomainError, Unavailable
from shared.events import Usage
from tests.llm_service.anthropic_wire import (
    USAGE,
    accumulated,
    as_stream,
    checked,
    collected,
    events_of,
    frames,
    message,
    rendered,
    sse,
    without_nulls,
)
from tests.llm_service.test_anthropic_requests import CITED

Json = dict[str, Any]
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "grass"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
WHOLE = message(
    {"type": "thinking", "thinking": "I should look at grass.", "signature": "sig=="},
    {"type": "redacted_thinking", "data": "hidden=="},
    SEARCH,
    FOUND,
    {"type": "text", "text": "Grass is green.", "citations": [CITED, CITED]},
    {"type": "text", "text": "And what else? Ça va."},
    {"type": "tool_use", "id": "toolu_1", "name": "see", "input": {"a": [1, "ü"]}},
    {"type": "tool_use", "id": "toolu_2", "name": "rest", "input": {}},
    stop_reason="tool_use",
)


def told(whole: Json) -> list[Event]:
    return list(ANTHROPIC.parse_answer(json.dumps(whole).encode()))


def same(one: Any, other: Any) -> None:
    """Two answers say the same: arguments are compared as JSON, as a stream keeps the model's own spacing."""
    assert [arguments_read(part) for part in one.parts] == [arguments_read(part) for part in other.parts]
    assert one.finished == other.finished
    assert (one.id, one.model) == (other.id, other.model)


def arguments_read(part: Any) -> Any:
    return (part.id, part.name, json.loads(part.arguments)) if hasattr(part, "arguments") else part


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_a_stream_and_a_whole_answer_say_the_same(cut: int) -> None:
    streamed, whole = collected(events_of(ANTHROPIC, as_stream(WHOLE, cut=cut))), collected(told(WHOLE))
    same(streamed, whole)
    assert streamed.usage == whole.usage
    assert whole.parts[0] == Reasoning(
        text="I should look at grass.", signature=Signature(dialect="anthropic", value="sig==")
    )
    assert [type(part).__name__ for part in whole.parts] == [
        *("Reasoning", "Reasoning", "Opaque", "Opaque", "Text", "Text", "ToolCall", "ToolCall")
    ]
    assert whole.tool_calls[1].arguments == "{}"


def test_what_is_rendered_is_what_was_read() -> None:
    for events in (events_of(ANTHROPIC, as_stream(WHOLE)), told(WHOLE)):
        expected = without_nulls(WHOLE)
        streamed = accumulated(rendered(ANTHROPIC, events))
        assert streamed.pop("usage") == USAGE | {"cache_creation": dict.fromkeys(USAGE["cache_creation"], 0)}
        whole = checked(ANTHROPIC.render_answer(collected(events)))
        assert whole.pop("usage") == USAGE
        assert streamed == whole == {name: value for name, value in expected.items() if name != "usage"}


def test_tokens_of_the_cache_are_input_too() -> None:
    usage = collected(told(WHOLE)).usage
    assert usage == Usage(
        input_tokens=22,
        output_tokens=9,
        cached_input_tokens=5,
        cache_write_tokens=7,
        cache_write_1h_tokens=3,
    )
    thinking = {**USAGE, "output_tokens_details": {"thinking_tokens": 4}}
    counted = collected(told(message(usage=thinking))).usage
    assert counted is not None
    assert counted.reasoning_tokens == 4


def test_iterations_that_the_totals_leave_out_are_counted() -> None:
    iterations = [
        {"type": "compaction", "input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 1},
        {"type": "message", "input_tokens": 10, "output_tokens": 9},
    ]
    usage = collected(told(message(usage={**USAGE, "iterations": iterations}))).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (123, 29, 6)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_every_reason_to_stop_is_understood_and_said_again(word: str, reason: FinishReason) -> None:
    sequence = "END" if word == "stop_sequence" else None
    whole = message({"type": "text", "text": "x"}, stop_reason=word, stop_sequence=sequence)
    for events in (told(whole), events_of(ANTHROPIC, as_stream(whole))):
        answer = collected(events)
        assert answer.finished == Finished(reason, sequence, native=word)
        for written in (ANTHROPIC.render_answer(answer), accumulated(rendered(ANTHROPIC, events))):
            assert written["stop_reason"] == word
            assert written.get("stop_sequence") == sequence


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ([TextDelta("x"), Finished("stop")], "end_turn"),
        ([TextDelta("x"), Finished("stop", "END")], "stop_sequence"),
        ([TextDelta("x"), Finished("length", native="length")], "max_tokens"),
        ([TextDelta("x"), Finished("content_filter")], "refusal"),
        ([TextDelta("x"), Finished("pause")], "pause_turn"),
        ([RefusalDelta("No."), Finished("stop")], "refusal"),
        ([ToolCallDelta(index=0, id="c", name="f", arguments="{}"), Finished("stop")], "tool_use"),
        ([ToolCallDelta(index=0, id="c", name="f", arguments="{}"), Finished("tool_calls")], "tool_use"),
        ([TextDelta("x")], "end_turn"),
    ],
)
def test_others_reasons_are_said_in_anthropics_words(events: list[Event], word: str) -> None:
    assert checked(ANTHROPIC.render_answer(collected(events)))["stop_reason"] == word
    assert accumulated(rendered(ANTHROPIC, events))["stop_reason"] == word


def test_a_refusal_is_told_with_its_explanation() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "I may not."}
    answer = collected(told(message(stop_reason="refusal", stop_details=details)))
    assert answer.refusal == "I may not."
    assert OPENAI.render_answer(answer)["choices"][0]["message"]["refusal"] == "I may not."


def test_a_stream_is_complete_only_with_its_last_event() -> None:
    wire = as_stream(WHOLE)
    cut = wire[: wire.index(b"event: message_stop")]
    assert not any(isinstance(event, Finished | Ended) for event in events_of(ANTHROPIC, cut))
    assert events_of(ANTHROPIC, wire)[-1] == Ended()


def test_pings_and_what_nobody_knows_yet_say_nothing_and_are_passed_on() -> None:
    unknown = sse({"type": "ping"}, {"type": "tomorrow", "x": 1})
    assert events_of(ANTHROPIC, unknown) == []
    block = {"type": "oracle", "said": "a", "depth": 1}
    wire = sse(
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "oracle_delta", "said": "b", "depth": 2}},
        {"type": "content_block_stop", "index": 0},
    )
    grown = {"type": "oracle", "said": "ab", "depth": 2}
    assert events_of(ANTHROPIC, wire) == [NativeAdded(Native(dialect="anthropic", value=grown))]


def test_content_is_told_when_it_begins_and_not_before() -> None:
    wire = as_stream(message({"type": "text", "text": "x"}))
    before = wire[: wire.index(b"event: content_block_delta")]
    assert not any(map(bears_content, events_of(ANTHROPIC, before)))
    assert any(map(bears_content, events_of(ANTHROPIC, wire)))


SIGNATURES = st.none() | st.builds(
    Signature, dialect=st.sampled_from(["anthropic", "gemini"]), value=st.text("abc=", min_size=1, max_size=4)
)
WORDS = st.text(min_size=1, max_size=6)
EVENTS = st.one_of(
    st.builds(TextDelta, WORDS, st.integers(0, 2)),
    st.tuples(st.builds(TextDelta, WORDS), st.builds(Cited, st.builds(Citation, url=WORDS, title=WORDS))),
    st.builds(ReasoningDelta, text=WORDS, signature=SIGNATURES),
    st.builds(RefusalDelta, WORDS),
    st.just(NativeAdded(Native(dialect="anthropic", value=FOUND))),
    st.builds(UsageCounted, st.builds(Usage, input_tokens=st.integers(9, 20), cached_input_tokens=st.integers(0, 9))),
)


@settings(deadline=None)  # a loaded machine is no failure
@given(st.lists(EVENTS, max_size=8), st.integers(0, 3), st.sampled_from(["stop", "length", "refusal"]), st.data())
def test_any_events_are_a_stream_and_an_answer_that_agree(
    said: list[Event | tuple[Event, ...]], calls: int, reason: FinishReason, data: st.DataObject
) -> None:
    """Calls come last, and mixed: each has its pieces in order, but among those of the others."""
    arguments = json.dumps({"x": "äé", "y": [1, 2]})
    waiting = {number: [arguments[:at], arguments[at:]] for number in range(calls) for at in (5 + number,)}
    mixed: list[Event] = [
        ToolCallDelta(index=n, id=f"c{n}", name="f", signature=data.draw(SIGNATURES)) for n in range(calls)
    ]
    while waiting:
        number = data.draw(st.sampled_from(sorted(waiting)))
        mixed.append(ToolCallDelta(index=number, arguments=waiting[number].pop(0)))
        waiting = {number: rest for number, rest in waiting.items() if rest}
    flat = [event for one in said for event in (one if isinstance(one, tuple) else (one,))]
    events = [Started(id="a", model="m"), *flat, *mixed, Finished(reason), Ended()]
    whole = checked(ANTHROPIC.render_answer(collected(events)))
    streamed = accumulated(rendered(ANTHROPIC, events))
    for one in (whole, streamed):
        one["usage"].pop("cache_creation", None)
        for block in one["content"]:
            block.setdefault("signature", "")  # a thought without one has an empty one in a stream
    assert streamed == whole


def test_the_thoughts_of_others_come_back_from_an_anthropic_client() -> None:
    """Another provider's signatures, of a thought and of a call, survive a turn through Anthropic's SDK."""
    of_thought, of_call = (Signature(dialect="gemini", value=value) for value in ("thought+/=", "call.1"))
    events: list[Event] = [
        Started(id="r", model="gemini-x"),
        ReasoningDelta(text="Hm.", signature=of_thought),
        TextDelta("Let me see."),
        ToolCallDelta(index=0, id="c0", name="f", arguments='{"a": 1}', signature=of_call),
        ToolCallDelta(index=1, id="c1", name="f", arguments="{}"),
        Finished("tool_calls"),
        Ended(),
    ]
    answer = collected(events)
    for content in (
        accumulated(rendered(ANTHROPIC, events))["content"],
        ANTHROPIC.render_answer(answer)["content"],
    ):
        request = ANTHROPIC.parse_request({"model": "m", "messages": [{"role": "assistant", "content": content}]})
        assert [arguments_read(part) for part in request.messages[0].parts] == [
            arguments_read(part) for part in answer.parts
        ]
        assert request.messages[0].parts[2].signature == of_call  # type: ignore[union-attr] # a call, by position


def test_sources_of_others_are_told_as_results_of_a_web_search() -> None:
    events: list[Event] = [TextDelta("Green."), Cited(Citation(url="https://a", title="A", start=0, end=6))]
    for content in (
        accumulated(rendered(ANTHROPIC, events))["content"],
        checked(ANTHROPIC.render_answer(collected(events)))["content"],
    ):
        assert content[0]["citations"][0]["url"] == "https://a"
        back = ANTHROPIC.parse_request({"model": "m", "messages": [{"role": "assistant", "content": content}]})
        assert back.messages[0].parts == (Text("Green.", (Citation(url="https://a", title="A", cited_text=""),)),)


def test_openais_parallel_calls_streamed_are_blocks_one_after_another() -> None:
    def chunk(*calls: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": {"tool_calls": list(calls)} if calls else {}, "finish_reason": finish}
        body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "choices": [choice]}
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    def call(index: int, arguments: str, **first: str) -> Json:
        named = {"id": first["id"], "type": "function"} if first else {}
        function = {"arguments": arguments, **({"name": first["name"]} if first else {})}
        return {"index": index, **named, "function": function}

    wire = b"".join(
        [
            chunk(call(0, "", id="a", name="see")),
            chunk(call(0, '{"x"')),
            chunk(call(1, "", id="b", name="hear")),  # before the first is complete
            chunk(call(0, ": 1}"), call(1, '{"y": ')),
            chunk(call(1, "2}")),
            chunk(finish="tool_calls"),
            b'data: {"id": "c", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}\n\n',
            b"data: [DONE]\n\n",
        ]
    )
    read = accumulated(rendered(ANTHROPIC, events_of(OPENAI, wire)))
    assert read["content"] == [
        {"type": "tool_use", "id": "a", "name": "see", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "hear", "input": {"y": 2}},
    ]
    assert read["stop_reason"] == "tool_use"
    assert read["usage"]["input_tokens"] == 9
    assert read["usage"]["output_tokens"] == 3


def test_anthropics_parallel_calls_are_openais() -> None:
    answer = OPENAI.render_answer(collected(told(WHOLE)))
    again = collected(events_of(OPENAI, rendered(OPENAI, events_of(ANTHROPIC, as_stream(WHOLE, cut=3)))))
    for calls in (
        [(c["id"], c["function"]["arguments"]) for c in answer["choices"][0]["message"]["tool_calls"]],
        [(call.id, call.arguments) for call in again.tool_calls],
    ):
        assert [(name, json.loads(arguments)) for name, arguments in calls] == [
            ("toolu_1", {"a": [1, "ü"]}),
            ("toolu_2", {}),
        ]
    assert again.text == answer["choices"][0]["message"]["content"] == "Grass is green.And what else? Ça va."


def test_a_stream_that_fails_ends_with_anthropics_error() -> None:
    for error, kind in ((Unavailable("Later."), "overloaded_error"), (DomainError(), "api_error")):
        (frame,) = frames(ANTHROPIC.stream_renderer({}).fail(error))
        body = json.loads(frame.data)
        assert frame.event == body["type"] == "error"
        assert body["error"]["type"] == kind
        assert "request_id" in body
