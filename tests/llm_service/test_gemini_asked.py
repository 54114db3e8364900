"""What clients of others ask, in Gemini's words."""

import json
from typing import Any

import pytest

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import (
    CacheMark,
    Document,
    Image,
    Message,
    Native,
    Opaque,
    OutputFormat,
    Reasoning,
    Signature,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llm_service.dialects import GEMINI
from llm_service.dialects.gemini.render_parts import UNSIGNED
from llm_service.errors import NotExpressible
from tests.llm_service.gemini_words import asked_of_gemini, checked
from tests.llm_service.test_gemini_requests import (
    EVERYTHING,
    PIXEL,
    QUESTION,
    SCHEMA,
    assistant,
    conversation,
    rendered,
    user,
)

Json = dict[str, Any]


def test_an_openai_conversation_with_parallel_tools_is_put_to_gemini() -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": '{"city":"Recife"}'}}
    body = asked_of_gemini(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Recife e Olinda?"},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "a", **call}, {"id": "b", **call}]},
                {"role": "tool", "tool_call_id": "a", "content": '{"celsius": 30}'},
                {"role": "tool", "tool_call_id": "b", "content": "sol"},
                {"role": "user", "content": "E amanhã?"},
                {"role": "developer", "content": "In Portuguese."},
            ],
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}],
        }
    )
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "In Portuguese."}]}
    args = {"city": "Recife"}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "Recife e Olinda?"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "a", "name": "weather", "args": args}, "thoughtSignature": UNSIGNED},
                {"functionCall": {"id": "b", "name": "weather", "args": args}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "weather", "response": {"celsius": 30}}},
                {"functionResponse": {"id": "b", "name": "weather", "response": {"output": "sol"}}},
                {"text": "E amanhã?"},
            ],
        },
    ]
    assert body["tools"] == [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": SCHEMA}]}]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="required"), {"mode": "ANY"}),
        (ToolChoice(mode="required", names=("f", "g")), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
        (ToolChoice(mode="function", names=("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(mode="auto", names=("f", "g")), {"mode": "VALIDATED", "allowedFunctionNames": ["f", "g"]}),
    ],
)
def test_a_choice_of_tools_is_kept(choice: ToolChoice, config: Json) -> None:
    tools = (Tool(name="f"), Tool(name="g"))
    assert rendered(conversation(user(Text("x")), tools=tools, tool_choice=choice))["toolConfig"] == {
        "functionCallingConfig": config
    }


def test_signatures_of_gemini_go_back_to_their_parts_and_others_do_not() -> None:
    seal, foreign = Signature(dialect="gemini", value="c2VhbA=="), Signature(dialect="anthropic", value="zzz")
    parts = rendered(
        conversation(
            user(Text("x")),
            assistant(Reasoning(text="hm", signature=seal), Text("a"), Reasoning(text="theirs", signature=foreign)),
            user(Text("y")),
            assistant(Reasoning(redacted=seal), ToolCall(id="1", name="f", arguments="{}")),
            user(ToolResult(tool_call_id="1", parts=())),
            assistant(ToolCall(id="2", name="f", arguments="{}", signature=foreign), Reasoning(text="mine")),
        )
    )["contents"]
    assert parts[1]["parts"] == [{"text": "hm", "thought": True}, {"text": "a", "thoughtSignature": "c2VhbA=="}]
    assert parts[3]["parts"][0]["thoughtSignature"] == "c2VhbA=="
    assert parts[5]["parts"][0]["thoughtSignature"] == UNSIGNED
    assert parts[5]["parts"][1] == {"text": "mine", "thought": True}
    assert "theirs" not in json.dumps(parts)
    assert "zzz" not in json.dumps(parts)


def test_an_older_model_needs_no_signature() -> None:
    call = assistant(ToolCall(id="1", name="f", arguments="{}"))
    parts = rendered(conversation(user(Text("x")), call, model="gemini-2.5-flash"))["contents"][1]["parts"]
    assert parts == [{"functionCall": {"id": "1", "name": "f", "args": {}}}]


def test_media_of_a_result_stand_in_it_where_the_model_takes_them_and_beside_it_otherwise() -> None:
    picture = Image(data=PIXEL, media_type="image/png")
    called = assistant(*(ToolCall(id=one, name="see", arguments="{}") for one in "ab"))
    results = [user(ToolResult(tool_call_id=one, parts=(Text("ok"), picture))) for one in "ab"]
    inline = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    new = rendered(conversation(user(Text("x")), called, *results))["contents"][2]["parts"]
    assert [part["functionResponse"]["parts"] for part in new] == [[inline], [inline]]
    old = rendered(conversation(user(Text("x")), called, *results, model="gemini-2.5-pro"))["contents"][2]["parts"]
    assert ["functionResponse" in part for part in old] == [True, True, False, False, False, False]
    assert old[2:] == [{"text": "From see (a):"}, inline, {"text": "From see (b):"}, inline]


def test_an_error_of_a_tool_is_told_as_one() -> None:
    called = assistant(ToolCall(id="1", name="f", arguments="{}"))
    failed = user(ToolResult(tool_call_id="1", parts=(Text('{"output": 1}'),), is_error=True))
    told = rendered(conversation(user(Text("x")), called, failed))["contents"][2]["parts"][0]["functionResponse"]
    assert told["response"] == {"error": '{"output": 1}'}


def test_a_result_that_looks_like_a_response_is_not_taken_for_one() -> None:
    called = assistant(ToolCall(id="1", name="f", arguments="{}"))
    said = user(ToolResult(tool_call_id="1", parts=(Text('{"error": null, "rows": 1}'),)))
    told = rendered(conversation(user(Text("x")), called, said))["contents"][2]["parts"][0]["functionResponse"]
    assert told["response"] == {"output": '{"error": null, "rows": 1}'}


def test_a_conversation_always_has_a_turn_of_the_user_first() -> None:
    nothing = {"role": "user", "parts": [{"text": ""}]}
    only_system = rendered(conversation(Message(role="system", parts=(Text("Joke."),))))
    assert only_system["contents"] == [nothing]
    model_first = rendered(conversation(assistant(Text("Oi!"))))
    assert model_first["contents"] == [nothing, {"role": "model", "parts": [{"text": "Oi!"}]}]


def test_documents_and_images_by_address_are_left_for_gemini_to_fetch() -> None:
    parts = rendered(
        conversation(
            user(
                Image(url="https://example.com/cat.png?size=1", detail="auto"),
                Image(url="https://example.com/cat"),
                Document(url="https://example.com/a.pdf"),
                Document(text="plain", name="notes.txt", context="From the archive."),
            )
        )
    )["contents"][0]["parts"]
    assert parts == [
        {"fileData": {"fileUri": "https://example.com/cat.png?size=1", "mimeType": "image/png"}},
        {"fileData": {"fileUri": "https://example.com/cat"}},
        {"fileData": {"fileUri": "https://example.com/a.pdf", "mimeType": "application/pdf"}},
        {"text": "notes.txt"},
        {"text": "From the archive."},
        {"text": "plain"},
    ]


@pytest.mark.parametrize(
    ("model", "thinking", "config"),
    [
        ("gemini-3.5-flash", Thinking(effort="low"), {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", Thinking(effort="minimal"), {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3.5-flash", Thinking(effort="max", visible=True), {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.5-flash", Thinking(effort="none"), {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.5-flash", Thinking(enabled=True), {"includeThoughts": True}),
        ("gemini-flash-latest", Thinking(effort="high"), {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-2.5-flash", Thinking(effort="medium"), {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-flash", Thinking(enabled=False), {"thinkingBudget": 0}),
        ("gemini-2.5-flash", Thinking(enabled=True), {"thinkingBudget": -1, "includeThoughts": True}),
        ("gemini-2.5-flash", Thinking(budget=100_000), {"thinkingBudget": 24_576, "includeThoughts": True}),
        ("gemini-2.5-pro", Thinking(budget=100_000), {"thinkingBudget": 32_768, "includeThoughts": True}),
        (
            "gemini-3.5-flash",
            Thinking(enabled=True, budget=2000, effort="low", visible=False),
            {"thinkingBudget": 2000, "includeThoughts": False},
        ),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(model: str, thinking: Thinking, config: Json | None) -> None:
    body = rendered(conversation(user(Text("x")), model=model, thinking=thinking))
    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_structured_output_keeps_its_schema() -> None:
    wanted = {"name": "pet", "schema": SCHEMA, "strict": True}
    body = asked_of_gemini({**QUESTION, "response_format": {"type": "json_schema", "json_schema": wanted}})
    assert body["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    body = asked_of_gemini({**QUESTION, "response_format": {"type": "json_object"}})
    assert body["generationConfig"] == {"responseMimeType": "application/json"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"thinking": Thinking(effort="none"), "model": "gemini-2.5-pro"}, "reasoning_effort"),
        ({"thinking": Thinking(enabled=False), "model": "gemini-3.1-pro-preview"}, "reasoning_effort"),
        ({"thinking": Thinking(effort="furious")}, "reasoning_effort"),
        ({"tools": (Opaque(native=Native(dialect="anthropic", value={"type": "bash"})),)}, "tools.bash"),
        ({"extra": Native(dialect="openai", value={"logit_bias": {"1": 2}})}, "logit_bias"),
        (
            {
                "tools": (Tool(name="f"),),
                "output_format": OutputFormat(mode="json_object"),
                "model": "gemini-2.5-flash",
            },
            "response_format",
        ),
    ],
)
def test_what_gemini_cannot_be_asked_is_refused_by_name_or_dropped_and_told(fields: Json, named: str) -> None:
    request = conversation(user(Text("x")), **fields)
    with pytest.raises(NotExpressible) as refused:
        GEMINI.render_request(request, stream=False, losses=Losses())
    assert refused.value.field == named
    losses = Losses(allowed=[named])
    checked(GEMINI.render_request(request, stream=False, losses=losses))
    assert losses.fields == [named]


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (Image(file_id="file-1"), "file_id"),
        (Document(file_id="file-1"), "file_id"),
        (Document(text="x", cited=True), "citations"),
        (Opaque(native=Native(dialect="openai", value={"type": "tomorrow"})), "tomorrow"),
        (ToolResult(tool_call_id="nobody", parts=()), "tool_call_id"),
        (ToolCall(id="1", name="f", arguments='{"broken'), "tool_calls"),
    ],
)
def test_a_part_that_gemini_does_not_know_is_refused_by_name_or_dropped_and_told(part: Any, named: str) -> None:
    request = conversation(user(Text("x"), part))
    with pytest.raises(NotExpressible) as refused:
        GEMINI.render_request(request, stream=False, losses=Losses())
    assert refused.value.field == named
    losses = Losses(allowed=True)
    checked(GEMINI.render_request(request, stream=False, losses=losses))
    assert losses.fields == [named]


def test_hints_and_neutral_values_are_no_losses_of_the_answer() -> None:
    losses = Losses()
    request = conversation(
        Message(role="user", name="ana", parts=(Text("x", cache=CacheMark()), Image(data=PIXEL, detail="low"))),
        frequency_penalty=0,
        presence_penalty=0,
        logprobs=False,
        parallel_tool_calls=True,
        service_tier="scale",
        user="ana",
        metadata={"Team": "A b"},
    )
    body = checked(GEMINI.render_request(request, stream=False, losses=losses))
    assert body.keys() == {"contents"}
    assert sorted(losses.fields) == [
        "cache_control",
        "image_url.detail",
        "messages.name",
        "metadata",
        "service_tier",
        "user",
    ]


def test_a_request_is_readdressed_without_what_is_ours_or_stands_in_the_url() -> None:
    body = {**EVERYTHING, "stream": True, "fallbacks": [], "drop_params": True}
    expected = {name: value for name, value in EVERYTHING.items() if name != "model"}
    assert GEMINI.readdress(body, model="gemini-2.5-pro", stream=True) == expected
