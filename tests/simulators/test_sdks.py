"""The simulators judged by the providers' own SDKs: every kind of answer, whole and streamed."""

from typing import Any

import pytest

from tests.simulators.answers import Answer, Citation, Image, Thought, Usage, says
from tests.simulators.asking import SDKS, Sdk

CALLS: list[tuple[str, dict[str, Any]]] = [("get_weather", {"city": "São Paulo"}), ("f", {"list": [1, {"two": None}]})]
FINISHES = {
    "OpenAI": {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"},
    "Anthropic": {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"},
    "Gemini": {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"},
    "Mistral": {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "error"},
}
OWN = [
    ("Anthropic", "pause_turn"),
    ("Anthropic", "model_context_window_exceeded"),
    ("Gemini", "RECITATION"),
    ("Gemini", "MALFORMED_FUNCTION_CALL"),
    ("Mistral", "model_length"),
]
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
every = pytest.mark.parametrize("sdk", SDKS, ids=str)
BY_NAME = {str(sdk): sdk for sdk in SDKS}


async def read(sdk: Sdk, said: Answer | str, *, stream: bool, **more: Any) -> Any:
    async with sdk.simulator() as sim:
        sim.will_answer(said)
        return await sdk.ask(sim, "Hi", stream=stream, **more)


@every
@both
async def test_text_is_read(sdk: Sdk, stream: bool) -> None:
    answer = await read(sdk, "Olá, coração 👋🏽\n\n— 日本語!", stream=stream)
    assert answer.text == "Olá, coração 👋🏽\n\n— 日本語!"
    assert answer.finish == FINISHES[str(sdk)]["stop"]


@every
@both
async def test_text_with_parallel_calls_is_read(sdk: Sdk, stream: bool) -> None:
    answer = await read(sdk, says("Let me see.", calls=CALLS), stream=stream)
    assert (answer.text, answer.calls) == ("Let me see.", CALLS)
    assert answer.finish == FINISHES[str(sdk)]["tool_calls"]


@every
@both
async def test_call_alone_is_read(sdk: Sdk, stream: bool) -> None:
    answer = await read(sdk, says(calls=CALLS[:1]), stream=stream)
    assert (answer.text, answer.calls) == ("", CALLS[:1])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Anthropic", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("Gemini", {"thinking_config": {"include_thoughts": True}}),
        ("Mistral", {"prompt_mode": "reasoning"}),
    ],
)
@both
async def test_thought_is_read_with_its_signature(name: str, options: dict[str, Any], stream: bool) -> None:
    said = says("Yes indeed.", thinking="Is it so? It is.", signature="c2lnbmVk")
    answer = await read(BY_NAME[name], said, stream=stream, **options)
    assert (answer.thinking, answer.text) == ("Is it so? It is.", "Yes indeed.")
    assert answer.signatures == {"Anthropic": ["c2lnbmVk"], "Gemini": ["signed"], "Mistral": []}[name]
    assert answer.usage[1] == 2 + 5


@both
async def test_redacted_thought_is_read(stream: bool) -> None:
    said = says("Yes.", thoughts=(Thought(signature="aGlkZGVu", redacted=True),))
    answer = await read(BY_NAME["Anthropic"], said, stream=stream)
    assert (answer.thinking, answer.signatures, answer.text) == ("", ["aGlkZGVu"], "Yes.")


@both
async def test_thoughts_of_gemini_are_shown_only_on_demand(stream: bool) -> None:
    answer = await read(BY_NAME["Gemini"], says("Yes.", thinking="Hm."), stream=stream)
    assert (answer.thinking, answer.text) == ("", "Yes.")


@every
@both
async def test_usage_is_read_with_its_parts(sdk: Sdk, stream: bool) -> None:
    said = says("Yes.", usage=Usage(input=1200, output=340, cached=1000, reasoning=300))
    assert (await read(sdk, said, stream=stream)).usage == (1200, 340, 1000)


@every
@both
@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
async def test_finish_is_in_the_providers_words(sdk: Sdk, stream: bool, finish: str) -> None:
    answer = await read(sdk, says("Half a", finish=finish), stream=stream)
    assert (answer.text, answer.finish) == ("Half a", FINISHES[str(sdk)][finish])


@pytest.mark.parametrize(("name", "finish"), OWN)
@both
async def test_finish_of_one_provider_is_sent_as_it_is(name: str, finish: str, stream: bool) -> None:
    assert (await read(BY_NAME[name], says("Half a", finish=finish), stream=stream)).finish == finish


@both
async def test_refusal_of_openai_is_read(stream: bool) -> None:
    answer = await read(BY_NAME["OpenAI"], says("I will not.", finish="refusal"), stream=stream)
    assert (answer.text, answer.refusal, answer.finish) == ("", "I will not.", "stop")


@both
async def test_picture_is_read(stream: bool) -> None:
    said = says("Here:", images=(Image("cG5n"),))
    assert (await read(BY_NAME["Gemini"], said, stream=stream)).images == ["png"]


@pytest.mark.parametrize("name", ["Anthropic", "Gemini"])
@both
async def test_citation_is_read(name: str, stream: bool) -> None:
    said = says("Paris is the capital.", citations=(Citation("Paris", "Atlas", "https://atlas.example"),))
    answer = await read(BY_NAME[name], said, stream=stream)
    assert (answer.text, answer.cited) == ("Paris is the capital.", ["Paris"])
