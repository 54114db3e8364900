"""The simulator judged by OpenAI's own SDK: what it answers, and what it refuses."""

from typing import Any, cast

import httpx2
import pytest
from openai import APIStatusError, AsyncOpenAI
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from tests.simulators.answers import KNOWN
from tests.simulators.openai import OpenAISimulator
from tests.simulators.openai_asking import Message, ask, ask_streaming, collected, sdk_of, text
from tests.simulators.openai_requests import PARAMETERS

BRAZIL = "Qual é a capital do Brasil?"
WEATHER = 'call get_weather {"city": "São Paulo"}'
CLOCK = 'call get_time {"zone": {"name": "America/Sao_Paulo"}, "parts": ["h", "m"]}'
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("get_weather", "get_time")
]


async def test_models_are_listed_and_found_one_by_one(openai_sdk: AsyncOpenAI) -> None:
    names = [model.id async for model in openai_sdk.models.list()]
    assert {"gpt-4o", "gpt-4o-2024-08-06", "gpt-5"} <= set(names)
    assert not [name for name in names if name.startswith("fault-")]
    assert (await openai_sdk.models.retrieve("gpt-4o")).owned_by == "system"
    with pytest.raises(APIStatusError) as refused:
        await openai_sdk.models.retrieve("gpt-0")
    assert (refused.value.status_code, refused.value.code, refused.value.param) == (404, "model_not_found", "model")


async def test_faults_are_listed_as_models_on_demand() -> None:
    async with (
        OpenAISimulator(list_faults=True) as sim,
        sdk_of(sim.base_url, sim.api_key) as sdk,
    ):
        assert {"gpt-4o", "gpt-4o-slow", "fault-cut"} <= {model.id async for model in sdk.models.list()}


async def test_known_question_has_its_known_answer(openai_sdk: AsyncOpenAI) -> None:
    completion = await ask(openai_sdk, BRAZIL)
    assert text(completion) == "A capital do Brasil é Brasília."
    assert completion.model == "gpt-4o-2024-08-06"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens, completion.usage.total_tokens) == (
        6,
        6,
        12,
    )


async def test_any_other_question_is_echoed(openai_sdk: AsyncOpenAI) -> None:
    assert text(await ask(openai_sdk, "Olá,  mundo\n 🌍! ")) == "Olá,  mundo\n 🌍!"


@pytest.mark.parametrize("question", [*KNOWN, "one  two\n\nthree ", WEATHER, CLOCK, f"{WEATHER}\n{CLOCK}"])
async def test_streamed_answer_equals_the_whole_one(openai_sdk: AsyncOpenAI, question: str) -> None:
    whole = (await ask(openai_sdk, question, tools=TOOLS)).choices[0]
    streamed = (await collected(openai_sdk, question, tools=TOOLS)).choices[0]
    assert streamed.finish_reason == whole.finish_reason
    assert (streamed.message.content or "") == (whole.message.content or "")
    assert _calls(streamed.message) == _calls(whole.message)


def _calls(message: Any) -> list[tuple[str, str]]:
    return [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]


async def test_stream_is_a_chunk_per_word_between_role_and_finish(openai_sdk: AsyncOpenAI) -> None:
    chunks = await ask_streaming(openai_sdk, BRAZIL)
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant"] + [None] * 7
    words = [chunk.choices[0].delta.content for chunk in chunks]
    assert words == ["", "A", " capital", " do", " Brasil", " é", " Brasília.", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 7 + ["stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1


async def test_usage_is_streamed_only_if_it_is_asked_for(openai_sdk: AsyncOpenAI) -> None:
    plain = await ask_streaming(openai_sdk, BRAZIL)
    assert not any("usage" in chunk.model_fields_set for chunk in plain)
    asked = await ask_streaming(openai_sdk, BRAZIL, stream_options={"include_usage": True})
    assert [chunk.usage for chunk in asked[:-1]] == [None] * 8
    assert all("usage" in chunk.model_fields_set for chunk in asked)
    assert asked[-1].choices == []
    assert asked[-1].usage == (await ask(openai_sdk, BRAZIL)).usage


async def test_obfuscation_can_be_refused(openai_sdk: AsyncOpenAI) -> None:
    assert all(chunk.obfuscation for chunk in await ask_streaming(openai_sdk, BRAZIL))
    bare = await ask_streaming(openai_sdk, BRAZIL, stream_options={"include_obfuscation": False})
    assert not any("obfuscation" in chunk.model_fields_set for chunk in bare)


async def test_history_is_proved_by_what_is_said_about_it(openai_sdk: AsyncOpenAI) -> None:
    history: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "I am Ana."}]},
        {"role": "assistant", "content": "Hello, Ana."},
    ]
    for question, answer in {
        "What did I say first?": "I am Ana.",
        "What did you say last?": "Hello, Ana.",
        "How many messages?": "4",
        "What are your instructions?": "Be brief.",
    }.items():
        assert text(await ask(openai_sdk, [*history, {"role": "user", "content": question}])) == answer


async def test_parallel_calls_carry_their_arguments_in_fragments(openai_sdk: AsyncOpenAI) -> None:
    chunks = await ask_streaming(openai_sdk, f"{WEATHER}\n{CLOCK}", tools=TOOLS)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert (deltas[0].role, deltas[0].tool_calls) == ("assistant", None)
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [call.index for call in calls] == sorted(call.index for call in calls)
    assert [call.function.name for call in calls if call.id and call.function] == ["get_weather", "get_time"]
    assert len(calls) > 6
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_result_of_a_tool_is_answered_with_its_words(openai_sdk: AsyncOpenAI) -> None:
    asked = (await ask(openai_sdk, f"{WEATHER}\n{CLOCK}", tools=TOOLS)).choices[0].message
    history: list[Message] = [
        {"role": "user", "content": WEATHER},
        asked.model_dump(exclude_none=True, exclude={"annotations"}),
        *({"role": "tool", "tool_call_id": call.id, "content": f"{call.id}: 21 °C"} for call in asked.tool_calls or ()),
    ]
    expected = "\n".join(f"{call.id}: 21 °C" for call in asked.tool_calls or ())
    assert text(await ask(openai_sdk, history, tools=TOOLS)) == expected


@pytest.mark.parametrize(
    ("parameters", "names", "finish"),
    [
        ({"tool_choice": "none"}, [], "stop"),
        ({"tool_choice": "required"}, ["get_weather"], "tool_calls"),
        ({"tool_choice": {"type": "function", "function": {"name": "get_time"}}}, ["get_time"], "stop"),
    ],
)
async def test_tool_choice_is_obeyed(
    openai_sdk: AsyncOpenAI, parameters: dict[str, Any], names: list[str], finish: str
) -> None:
    choice = (await ask(openai_sdk, "Hello", tools=TOOLS, **parameters)).choices[0]
    assert [name for name, _ in _calls(choice.message)] == names
    assert choice.finish_reason == finish


@pytest.mark.parametrize(
    ("parameters", "answer", "finish"),
    [
        ({"max_tokens": 3}, "1 2 3", "length"),
        ({"max_completion_tokens": 9}, "1 2 3 4 5 6 7 8 9", "stop"),
        ({"stop": [" 7", " 4"]}, "1 2 3", "stop"),
        ({"stop": "5", "max_tokens": 2}, "1 2", "length"),
    ],
)
async def test_limits_cut_the_answer(
    openai_sdk: AsyncOpenAI, parameters: dict[str, Any], answer: str, finish: str
) -> None:
    whole = await ask(openai_sdk, "Count to 9", **parameters)
    assert (text(whole), whole.choices[0].finish_reason) == (answer, finish)
    assert whole.usage
    assert whole.usage.completion_tokens == len(answer.split())
    chunks = await ask_streaming(openai_sdk, "Count to 9", **parameters)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == answer


async def test_limit_may_fall_into_the_arguments_of_a_call(openai_sdk: AsyncOpenAI) -> None:
    choice = (await ask(openai_sdk, CLOCK, tools=TOOLS, max_tokens=4)).choices[0]
    assert (_calls(choice.message), choice.finish_reason) == ([("get_time", '{"zone":{"')], "length")


def _said(*messages: Message) -> Message:
    return {"messages": list(messages)}


_USER: Message = {"role": "user", "content": "Hi"}
_CALL: Message = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
_CALLING: Message = {"role": "assistant", "tool_calls": [_CALL]}


@pytest.mark.parametrize(
    ("change", "status", "param", "code"),
    [
        ({"model": "gpt-0"}, 404, None, "model_not_found"),
        ({"model": "fault-of-nobody"}, 404, None, "model_not_found"),
        ({"model": None}, 400, None, None),
        ({"messages": None}, 400, "messages", "missing_required_parameter"),
        ({"messages": []}, 400, "messages", "empty_array"),
        ({"messages": "Hi"}, 400, "messages", "invalid_type"),
        (_said({"content": "Hi"}), 400, "messages[0].role", "missing_required_parameter"),
        (_said(_USER, {"role": "model", "content": "Hi"}), 400, "messages[1].role", "invalid_value"),
        (_said({"role": "user"}), 400, "messages[0].content", "missing_required_parameter"),
        (_said({"role": "user", "content": None}), 400, "messages.[0].content", None),
        (
            _said({"role": "user", "content": [{"type": "thinking"}]}),
            400,
            "messages[0].content[0].type",
            "invalid_value",
        ),
        (_said(_USER, _CALLING), 400, "messages", None),
        (_said(_USER, {"role": "tool", "tool_call_id": "call_1", "content": "x"}), 400, "messages.[1].role", None),
        (_said({"role": "assistant", "tool_calls": []}), 400, "messages[0].tool_calls", "empty_array"),
        ({"temperature": "hot"}, 400, "temperature", "invalid_type"),
        ({"temperature": 2.5}, 400, "temperature", "decimal_above_max_value"),
        ({"max_tokens": 0}, 400, "max_tokens", "integer_below_min_value"),
        ({"n": 2}, 400, "n", "integer_above_max_value"),
        ({"stream": 1}, 400, "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options", None),
        ({"tools": []}, 400, "tools", "empty_array"),
        ({"tool_choice": "auto"}, 400, "tool_choice", None),
        ({"top_k": 40}, 400, None, None),
        ({"model": "gpt-5", "max_tokens": 5}, 400, "max_tokens", "unsupported_parameter"),
        ({"model": "gpt-5", "temperature": 0}, 400, "temperature", "unsupported_value"),
    ],
)
async def test_wrong_request_is_refused_in_openais_words(
    openai_sdk: AsyncOpenAI, change: Message, status: int, param: str | None, code: str | None
) -> None:
    body = {"model": "gpt-4o", "messages": [_USER], **change}
    with pytest.raises(APIStatusError) as refused:
        await openai_sdk.post("/chat/completions", body=body, cast_to=ChatCompletion)
    assert (refused.value.status_code, refused.value.param, refused.value.code) == (status, param, code)
    assert refused.value.type == "invalid_request_error"


def test_every_parameter_of_the_sdk_is_known() -> None:
    assert set(CompletionCreateParamsNonStreaming.__annotations__) <= set(PARAMETERS)


async def test_key_is_checked(plain: httpx2.AsyncClient) -> None:
    keyless = await plain.get("/v1/models", headers={"authorization": ""})
    assert keyless.status_code == 401
    assert keyless.json()["error"]["message"].startswith("You didn't provide an API key.")
    wrong = await plain.get("/v1/models", headers={"authorization": "Bearer sk-wrong-0123456789"})
    assert wrong.status_code == 401
    assert wrong.json() == {
        "error": {
            "message": "Incorrect API key provided: sk-wrong*******6789. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("GET", "/v1/chat/completions", b"", 405),
        ("DELETE", "/v1/models", b"", 405),
        ("POST", "/v1/chat", b"{}", 404),
    ],
)
async def test_what_is_not_the_api_is_refused(
    plain: httpx2.AsyncClient, method: str, path: str, body: bytes, status: int
) -> None:
    answer = await plain.request(method, path, content=body)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_headers_are_those_of_openai(openai_sdk: AsyncOpenAI) -> None:
    messages = [_USER]
    first = await openai_sdk.chat.completions.with_raw_response.create(model="gpt-4o", messages=cast(Any, messages))
    second = await openai_sdk.chat.completions.with_raw_response.create(model="gpt-4o", messages=cast(Any, messages))
    assert first.headers["openai-version"] == "2020-10-01"
    assert first.headers["x-ratelimit-remaining-requests"] == "9999"
    assert second.headers["x-ratelimit-remaining-requests"] == "9998"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
