"""What clients of OpenAI ask, in Anthropic's words."""

from typing import Any

import pytest

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest, Signature
from llm_service.dialects import ANTHROPIC, OPENAI
from llm_service.errors import NotExpressible
from tests.llm_service.test_anthropic_requests import again, readdressed

Json = dict[str, Any]


def of_openai(**fields: Any) -> CompletionRequest:
    return OPENAI.parse_request({"model": "m", "messages": [{"role": "user", "content": "x"}], **fields})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"seed": 7}, "seed"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 1.5}, "temperature"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "x"},
                            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                        ],
                    }
                ]
            },
            "input_audio",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "x"},
                            {"type": "file", "file": {"file_id": "file-of-openai"}},
                        ],
                    }
                ]
            },
            "file_id",
        ),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
    ],
)
def test_what_anthropic_cannot_be_asked_is_refused_by_name_or_dropped_and_told(fields: Json, named: str) -> None:
    request = of_openai(**fields)
    with pytest.raises(NotExpressible) as refused:
        ANTHROPIC.render_request(request, stream=False, losses=Losses())
    assert refused.value.param == named
    losses = Losses(allowed=[named])
    body = ANTHROPIC.render_request(request, stream=False, losses=losses)
    assert losses.fields == [named]
    assert body == {"model": "m", "max_tokens": 8192, "messages": [{"role": "user", "content": "x"}], "stream": False}


def test_what_asks_for_nothing_is_not_refused() -> None:
    neutral = {"frequency_penalty": 0, "presence_penalty": 0, "logprobs": False, "top_p": 1, "stop": []}
    assert again(of_openai(**neutral)) == again(of_openai())
    assert again(of_openai(response_format={"type": "text"})) == again(of_openai())


def test_openais_conversation_is_put_into_turns_that_alternate() -> None:
    call = {"type": "function", "function": {"name": "see", "arguments": '{"a": 1}'}}
    request = of_openai(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": "Look."},
            {"role": "user", "content": "Please."},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{**call, "id": "c.1"}, {**call, "id": "c2", "function": {"name": "f", "arguments": ""}}],
            },
            {"role": "tool", "tool_call_id": "c.1", "content": "a cat"},
            {"role": "tool", "tool_call_id": "c2", "content": "a dog"},
            {"role": "user", "content": "So?"},
        ]
    )
    body = again(request)
    assert body["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert [block["text"] for block in body["messages"][0]["content"]] == ["Look.", "Please."]
    assert body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "c_1", "name": "see", "input": {"a": 1}},
        {"type": "tool_use", "id": "c2", "name": "f", "input": {}},
    ]
    results = body["messages"][2]["content"]
    assert [block["type"] for block in results] == ["tool_result", "tool_result", "text"]
    assert results[0] == {"type": "tool_result", "tool_use_id": "c_1", "content": "a cat"}


def test_results_come_first_in_the_turn_after_a_call() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = [{"role": "user", "content": "And?"}, {"role": "tool", "tool_call_id": "c1", "content": "a cat"}]
    body = again(of_openai(messages=[{"role": "assistant", "tool_calls": [call]}, *said]))
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_result", "text"]


def test_a_system_message_stays_where_anthropic_takes_one_and_moves_to_the_front_elsewhere() -> None:
    def told(*roles: str) -> Json:
        return again(of_openai(messages=[{"role": role, "content": f"{role} {n}"} for n, role in enumerate(roles)]))

    kept = told("user", "system", "assistant", "user")
    assert [turn["role"] for turn in kept["messages"]] == ["user", "system", "assistant", "user"]
    assert "system" not in kept
    moved = told("user", "assistant", "system", "user")
    assert moved["system"] == "system 2"
    assert [turn["role"] for turn in moved["messages"]] == ["user", "assistant", "user"]
    between = told("user", "system", "user")
    assert between["system"] == "system 1"
    assert len(between["messages"]) == 1
    assert told("system")["messages"] == [{"role": "user", "content": "system 0"}]


def test_files_of_openai_are_documents() -> None:
    def file(kind: str, content: str) -> Json:
        file = {"file_data": f"data:{kind};base64,{content}", "filename": "a"}
        body = again(of_openai(messages=[{"role": "user", "content": [{"type": "file", "file": file}]}]))
        block: Json = body["messages"][0]["content"][0]
        return block

    assert file("application/pdf", "AAAA")["source"] == {
        "type": "base64",
        "media_type": "application/pdf",
        "data": "AAAA",
    }
    assert file("text/csv", "YSxi")["source"] == {"type": "text", "media_type": "text/plain", "data": "a,b"}
    assert file("text/csv", "YSxi")["title"] == "a"
    for kind, content in (("application/msword", "AAAA"), ("text/plain", "_w=="), ("text/plain", "/w==")):
        with pytest.raises(NotExpressible):
            file(kind, content)


def test_choices_efforts_schemas_and_limits_of_openai_are_said_in_anthropics_words() -> None:
    tools = [{"type": "function", "function": {"name": "see", "strict": True}}]
    schema = {"type": "object", "additionalProperties": False}
    body = again(
        of_openai(
            tools=tools,
            tool_choice="required",
            parallel_tool_calls=False,
            reasoning_effort="minimal",
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}},
            max_completion_tokens=77,
            stop="END",
            user="ana",
        )
    )
    assert body["tools"] == [{"name": "see", "input_schema": {"type": "object", "properties": {}}, "strict": True}]
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert body["thinking"] == {"type": "adaptive"}
    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": schema}}
    assert body["max_tokens"] == 77
    assert body["stop_sequences"] == ["END"]
    assert body["metadata"] == {"user_id": "ana"}
    assert again(of_openai(reasoning_effort="none"))["thinking"] == {"type": "disabled"}
    assert again(of_openai(tools=tools, parallel_tool_calls=True)).get("tool_choice") is None
    assert again(of_openai(tools=tools, parallel_tool_calls=False))["tool_choice"]["disable_parallel_tool_use"] is True


def test_arguments_that_are_no_json_are_told_as_anthropic_wants_and_come_back() -> None:
    broken = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": '}}
    request = of_openai(messages=[{"role": "assistant", "tool_calls": [broken]}])
    body = again(request)
    assert body["messages"][0]["content"][0]["input"] == {"INVALID_JSON": '{"a": '}
    back = OPENAI.render_request(ANTHROPIC.parse_request(body), stream=False, losses=Losses())
    assert back["messages"][0]["tool_calls"][0]["function"]["arguments"] == '{"a": '


def test_hints_are_dropped_and_told_where_they_mean_nothing() -> None:
    hints = {"cache_control": {"type": "ephemeral"}, "speed": "standard", "inference_geo": "eu"}
    forgetting = {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], **hints, **forgetting}
    request = ANTHROPIC.parse_request(body)
    losses = Losses()
    OPENAI.render_request(request, stream=False, losses=losses)
    assert set(losses.fields) >= {*hints, *forgetting}
    assert again(request) == {**body, "stream": False}


@pytest.mark.parametrize(
    "change",
    [
        {"context_management": {"edits": [{"type": "compact_20260112"}]}},
        {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]},
        {"container": "c"},
        {"thinking": {"type": "between_tools"}},
        {"fallbacks": [{"model": "claude-haiku-5-5"}]},
    ],
)
def test_what_only_anthropic_can_do_is_not_asked_of_others(change: Json) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], **change}
    with pytest.raises(NotExpressible) as refused:
        OPENAI.render_request(ANTHROPIC.parse_request(body), stream=False, losses=Losses())
    assert refused.value.param == next(iter(change))


def test_thoughts_go_back_to_those_who_signed_them_only() -> None:
    content = [
        {"type": "thinking", "thinking": "mine", "signature": "abc"},
        {"type": "thinking", "thinking": "theirs", "signature": "synapscale.gemini.xyz"},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
        {"type": "thinking", "thinking": "", "signature": "synapscale.call.gemini.of-the-call"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "redacted_thinking", "data": "synapscale.openai.hidden"},
    ]
    body = {"model": "m", "messages": [{"role": "assistant", "content": content}]}
    mine, theirs, unsigned, call, redacted = ANTHROPIC.parse_request(body).messages[0].parts
    assert mine.signature == Signature(dialect="anthropic", value="abc")  # type: ignore[union-attr] # by position
    assert theirs.signature == Signature(dialect="gemini", value="xyz")  # type: ignore[union-attr]
    assert unsigned.signature is None  # type: ignore[union-attr]
    assert call.signature == Signature(dialect="gemini", value="of-the-call")  # type: ignore[union-attr]
    assert redacted.redacted == Signature(dialect="openai", value="hidden")  # type: ignore[union-attr]
    kept = [content[0], content[4]]
    assert again(ANTHROPIC.parse_request(body))["messages"][0]["content"] == kept
    assert readdressed(body)["messages"][0]["content"] == kept
