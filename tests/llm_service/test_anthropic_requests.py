"""Anthropic's requests ⇄ canonical ones, by hand and over recorded traffic."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest
from llm_service.dialects import ANTHROPIC, OPENAI
from shared.errors import Unprocessable
from tests.llm_service.recordings import Recording, recordings

Json = dict[str, Any]
PIXEL = "iVBORw0KGgo="
CITED = {
    "type": "char_location",
    "cited_text": "Green.",
    "document_index": 0,
    "document_title": "Grass",
    "start_char_index": 0,
    "end_char_index": 6,
}
EVERYTHING: Json = {
    "model": "claude-sonnet-5",
    "max_tokens": 2000,
    "system": [
        {"type": "text", "text": "Be brief."},
        {"type": "text", "text": "And kind.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
                    "title": "a.pdf",
                    "context": "From Ana.",
                    "citations": {"enabled": True},
                    "cache_control": {"type": "ephemeral"},
                },
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Green."}},
                {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
                {"type": "document", "source": {"type": "file", "file_id": "file_2"}},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
                {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
                {"type": "tomorrow", "x": 1},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Let me look.", "signature": "sig=="},
                {"type": "redacted_thinking", "data": "hidden=="},
                {"type": "text", "text": "I look.", "citations": [CITED]},
                {"type": "tool_use", "id": "toolu_1", "name": "see", "input": {"a": 1}},
                {"type": "tool_use", "id": "toolu_2", "name": "see", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [
                        {"type": "text", "text": "a cat"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                        {"type": "document", "source": {"type": "url", "url": "https://example.com/b.pdf"}},
                        {"type": "search_result", "source": "s", "title": "t", "content": []},
                    ],
                },
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "broken", "is_error": True},
                {"type": "text", "text": "Well?", "cache_control": {"type": "ephemeral", "ttl": "5m"}},
            ],
        },
        {"role": "system", "content": "Now in Portuguese."},
        {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}]},
        {"role": "user", "content": "Sure?"},
    ],
    "tools": [
        {
            "name": "see",
            "description": "Looks.",
            "input_schema": {"type": "object"},
            "strict": True,
            "defer_loading": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "web_search_20260318", "name": "web_search", "max_uses": 2},
    ],
    "tool_choice": {"type": "tool", "name": "see", "disable_parallel_tool_use": True},
    "output_config": {
        "effort": "max",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
        "task_budget": {"type": "tokens", "total": 20000},
    },
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "summarized"},
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "stop_sequences": ["END", "STOP"],
    "service_tier": "standard_only",
    "metadata": {"user_id": "ana"},
    "cache_control": {"type": "ephemeral"},
    "container": "container_1",
    "context_management": {"edits": [{"type": "compact_20260112"}]},
    "mcp_servers": [{"type": "url", "name": "x", "url": "https://example.com"}],
    "fallbacks": [{"model": "claude-haiku-5-5"}],
}


def again(request: CompletionRequest, *, stream: bool = False) -> Json:
    return ANTHROPIC.render_request(request, stream=stream, losses=Losses())


def test_everything_that_the_dialect_can_say_survives_the_round_trip() -> None:
    request = ANTHROPIC.parse_request(EVERYTHING)
    assert again(request) == {**EVERYTHING, "stream": False}
    assert ANTHROPIC.parse_request(again(request)) == request
    assert msgspec.json.decode(msgspec.json.encode(request), type=CompletionRequest) == request


@pytest.mark.parametrize(
    "thinking",
    [
        {"type": "disabled"},
        {"type": "adaptive"},
        {"type": "adaptive", "display": "omitted"},
        {"type": "enabled", "budget_tokens": 2048},
        {"type": "between_tools"},
    ],
)
@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}, {"type": "none"}])
def test_each_way_to_think_and_choose_survives(thinking: Json, choice: Json) -> None:
    body = {
        "model": "m",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "thinking": thinking,
        "tool_choice": choice,
        "stream": True,
    }
    assert again(ANTHROPIC.parse_request(body), stream=True) == body


@pytest.mark.parametrize("recording", recordings("anthropic"), ids=str)
def test_a_recorded_request_survives_the_round_trip(recording: Recording) -> None:
    if "/v1/messages" not in recording.uri:
        return
    request = ANTHROPIC.parse_request(recording.request)
    rendered = again(request)
    limit = recording.request.get("max_tokens", rendered["max_tokens"])
    assert ANTHROPIC.parse_request(rendered) == msgspec.structs.replace(request, max_output_tokens=limit)
    assert len(rendered["messages"]) == len(recording.request["messages"])
    assert rendered.keys() - {"max_tokens", "stream"} >= recording.request.keys() - {"max_tokens", "stream"}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"messages": [{"role": "wizard", "content": "x"}]}, "/messages/0/role"),
        ({"messages": [{"role": 3, "content": "x"}]}, "/messages/0/role"),
        ({"messages": [{"role": "user", "content": 3}]}, "/messages/0/content"),
        ({"messages": [{"role": "user"}]}, "/messages/0/content"),
        ({"messages": ["x"]}, "/messages/0"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "/messages/0/content/0/source"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "/messages/0/content/0/text"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "/messages/0/content/0/type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
            "/messages/0/content/0/tool_use_id",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": 3}]}]},
            "/messages/0/content/0/cache_control",
        ),
        ({"system": 3}, "/system"),
        ({"temperature": "hot"}, "/temperature"),
        ({"top_k": 1.5}, "/top_k"),
        ({"max_tokens": "many"}, "/max_tokens"),
        ({"stop_sequences": [1]}, "/stop_sequences/0"),
        ({"tools": [{"name": "x"}]}, "/tools/0/input_schema"),
        ({"tool_choice": {"type": "maybe"}}, "/tool_choice"),
        ({"thinking": {"type": "enabled"}}, "/thinking/budget_tokens"),
        ({"thinking": "much"}, "/thinking"),
        ({"output_config": {"format": {"type": "xml"}}}, "/output_config/format"),
        ({"metadata": {"user_id": 3}}, "/metadata/user_id"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(change: Json, pointer: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        ANTHROPIC.parse_request({"model": "m", "messages": [{"role": "user", "content": "x"}], **change})
    assert refused.value.extra["errors"][0]["pointer"] == pointer
    assert refused.value.extra["param"] == pointer.split("/")[1]


def readdressed(body: Json, *, model: str = "m", stream: bool = False) -> Json:
    """As it would leave for Anthropic."""
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    sent: Json = msgspec.json.decode(msgspec.json.encode(ANTHROPIC.readdress(fields, model=model, stream=stream)))
    return sent


def test_our_citations_are_taken_out_of_what_is_relayed() -> None:
    ours = {"type": "web_search_result_location", "url": "https://a", "encrypted_index": "", "cited_text": ""}
    block = {"type": "text", "text": "x", "citations": [ours, CITED]}
    messages = [{"role": "assistant", "content": [block, {**block, "citations": [ours]}]}]
    first, second = readdressed({"messages": messages})["messages"][0]["content"]
    assert first == {**block, "citations": [CITED]}
    assert second == {"type": "text", "text": "x"}


def test_a_readdressed_request_keeps_what_nobody_knows_and_loses_what_is_ours() -> None:
    body = {**EVERYTHING, "tomorrow": {"x": 1}, "routing": {}, "drop_params": True, "stream": True}
    sent = readdressed(body, model="other", stream=True)
    assert sent == {**EVERYTHING, "tomorrow": {"x": 1}, "stream": True, "model": "other"}
    assert "fallbacks" not in readdressed({**body, "fallbacks": ["a"]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, value: Any = EVERYTHING) -> Any:
    """The request with everything, somewhere of which something else stands."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: draw(mutated(value[name]))}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(mutated(value[at])), *value[at + 1 :]]
    return draw(JSON)


@settings(deadline=None)  # a loaded machine is no failure
@given(mutated())
def test_no_request_breaks_the_parser(body: Any) -> None:
    if not isinstance(body, dict):
        return
    try:
        request = ANTHROPIC.parse_request(body)
    except Unprocessable:
        return
    for dialect in (ANTHROPIC, OPENAI):
        msgspec.json.encode(dialect.render_request(request, stream=True, losses=Losses(allowed=True)))
    readdressed(body, stream=True)
