"""What clients of other people are told and raise, whichever provider answers them.

All in one file: tests are spread over processes by file, and one platform is enough for all of these.
"""

import json
from typing import Any

import pytest

from tests.clients.clients import BACKED, CLIENTS, EVERY, MODELS, Client, Raised
from tests.clients.simulated import Simulated
from tests.simulators.answers import says
from tests.simulators.faults import Fault

THINKING = {**MODELS, "mistral": "magistral-medium-latest", "openai": "gpt-5-mini"}
CITIES = ("Lisboa", "Porto")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M8AAAMBAQAY3Y2wAAAAAElFTkSuQmCC"
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
NAMES = {
    401: "AuthenticationError",
    400: "BadRequestError",
    404: "NotFoundError",
    429: "RateLimitError",
}
"""As the SDKs of OpenAI and Anthropic call them, in both languages; Vercel's calls all of them APICallError."""
LANGCHAINS = {401: "Authentication", 400: "InvalidRequest", 404: "NotFound", 429: "RateLimit"}
LIMITED = 3
"""Seconds: more than any of the clients waits of its own accord before its first retry."""
EMBEDDING = {
    "openai": ("text-embedding-3-small", 1536),
    "gemini": ("gemini-embedding-001", 3072),
    "mistral": ("mistral-embed", 1024),
}
BY_NAME = {client.name: client for client in CLIENTS}


@EVERY
@BACKED
def test_the_whole_conversation_is_answered(client: Client, provider: str, run: Any) -> None:
    told = run(client, "chat", model=MODELS[provider], said="What did you say last?")
    assert told["text"] == "Hello."
    assert told["finish"] in ("stop", "end_turn")
    assert told["input_tokens"] > 0
    assert told["output_tokens"] > 0
    assert run(client, "chat", model=MODELS[provider], said="What are your instructions?")["text"] == "Be brief."


@EVERY
@BACKED
def test_a_stream_comes_in_pieces_and_ends_with_its_usage(client: Client, provider: str, run: Any) -> None:
    told = run(client, "stream", model=MODELS[provider], said="Say it with emoji")
    assert told["text"] == "Olá, coração 👋🏽 — 日本語, ação e 🇧🇷 em uma família 👨‍👩‍👧‍👦!"
    assert "".join(told["pieces"]) == told["text"]
    assert len(told["pieces"]) > 3
    assert told["finish"] in ("stop", "end_turn")
    assert told["input_tokens"] > 0
    assert told["output_tokens"] > 0


@EVERY
@BACKED
@both
def test_tools_are_called_in_parallel_and_their_results_heard(
    client: Client, provider: str, stream: bool, run: Any
) -> None:
    asked = "\n".join(f'call get_weather {{"city": "{city}"}}' for city in CITIES)
    told = run(client, "tools", model=MODELS[provider], said=asked, stream=stream)
    assert told["calls"] == [{"name": "get_weather", "city": city} for city in CITIES]
    assert told["text"] == "Lisboa: 21\nPorto: 21"


@EVERY
@BACKED
def test_a_structured_answer_is_the_clients_own_type(
    client: Client, provider: str, run: Any, simulators: Simulated
) -> None:
    report = {"city": "Lisboa", "degrees": 21}
    if (
        client.name == "node/vercel-anthropic" and provider != "anthropic"
    ):  # it takes a tool for models it does not know
        simulators.simulators[provider].will_answer(*[says(calls=[("json", report)])] * 2)
    assert run(client, "structured", model=MODELS[provider], said=json.dumps(report)) == report
    for request in simulators.simulators[provider].requests:
        assert b'"degrees"' in request.raw


@EVERY
@BACKED
def test_an_image_is_seen(client: Client, provider: str, run: Any, simulators: Simulated) -> None:
    told = run(client, "seen", model=MODELS[provider], said="What is it?", image=f"data:image/png;base64,{PIXEL}")
    assert told["text"] == "What is it?"
    assert PIXEL.encode() in simulators.simulators[provider].requests[-1].raw


@EVERY
@BACKED
@both
def test_a_model_that_thinks_calls_tools(
    client: Client, provider: str, stream: bool, run: Any, simulators: Simulated
) -> None:
    """Who keeps thoughts brings them back signed, as their provider demands; who loses them is answered too."""
    simulator = simulators.simulators[provider]
    call = ("get_weather", {"city": "Lisboa"})
    simulator.will_answer(says(calls=[call], thinking="Which city is it?", signature="c2lnbmVk"))
    told = run(client, "thinking", model=THINKING[provider], said="Is it warm?", stream=stream)
    assert told["calls"] == [{"name": "get_weather", "city": "Lisboa"}]
    assert told["text"] == "Lisboa: 21"
    if not client.keeps_thoughts or provider == "openai" or (client.name == "node/openai" and stream):
        return  # the helper for streams of that SDK keeps only the last piece of a field that it does not know
    if provider != "gemini" or client.speaks == "anthropic":  # Gemini shows thoughts to those who ask to see them
        assert told["thought"] == "Which city is it?"
    if provider == "anthropic":
        assert b'"c2lnbmVk"' in simulator.requests[-1].raw


def check(raised: Raised, status: int, client: Client) -> None:
    """A class of the client's own, the status, and a number to ask the operator about."""
    assert raised.status == status, raised
    if "vercel" in client.name:
        assert raised.name == "APICallError"
    elif client.name == "langchain":
        assert LANGCHAINS[status] in raised.name
    else:
        assert raised.name == NAMES[status]
    assert (raised.request_id or "").startswith("req_")


@EVERY
def test_a_key_that_is_none_is_an_authentication_error(client: Client, run: Any) -> None:
    with pytest.raises(Raised) as refused:
        run(client, "chat", key="sk-syn-nobody", model="gpt-4o", said="Hi")
    check(refused.value, 401, client)


@EVERY
def test_an_unknown_model_is_not_found(client: Client, run: Any) -> None:
    with pytest.raises(Raised) as refused:
        run(client, "chat", model="no-such-model", said="Hi")
    check(refused.value, 404, client)


@EVERY
@BACKED
def test_what_the_provider_does_not_accept_is_a_bad_request(
    client: Client, provider: str, run: Any, simulators: Simulated
) -> None:
    simulators.simulators[provider].will_fail("400")
    with pytest.raises(Raised) as refused:
        run(client, "chat", model=f"failing-{provider}/{MODELS[provider]}", said="Hi")
    check(refused.value, 400, client)


@pytest.mark.parametrize(("client", "provider"), [*zip(CLIENTS, [*MODELS, *MODELS], strict=True)], ids=str)
def test_a_limit_is_told_and_waited_for_as_long_as_the_provider_says(
    client: Client, provider: str, run: Any, simulators: Simulated
) -> None:
    """Whoever's the limit is, the client hears of it in its own words, and asks again by itself if it is let."""
    simulator = simulators.simulators[provider]
    simulator.will_fail(Fault("status", status=429, headers={"retry-after": str(LIMITED)}))
    model = f"failing-{provider}/{MODELS[provider]}"
    with pytest.raises(Raised) as refused:
        run(client, "chat", model=model, said="Hi")
    check(refused.value, 429, client)
    assert run(client, "retried", model=model, said="What is the capital of France?")["text"]
    assert len(simulator.requests) == 2  # the one that was refused, and none before its time


@EVERY
@BACKED
def test_a_stream_that_breaks_off_raises_instead_of_looking_whole(
    client: Client, provider: str, run: Any, simulators: Simulated
) -> None:
    simulators.simulators[provider].will_fail(Fault("cut", after=2))
    with pytest.raises(Raised):
        run(client, "broken", model=MODELS[provider], said="Count to 6")


@EVERY
@BACKED
def test_a_stream_that_is_left_ends_at_the_provider(
    client: Client, provider: str, run: Any, simulators: Simulated
) -> None:
    simulators.simulators[provider].pace = 0.02
    told = run(client, "abandoned", model=MODELS[provider], said="Count to 1000")
    assert told["pieces"][0].startswith("1")
    simulators.wait_until_left(provider)


def clients(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", [BY_NAME[name] for name in names], ids=str)


@clients("openai_sdk", "langchain", "node/openai", "node/vercel-openai", "node/vercel-compatible")
@pytest.mark.parametrize("provider", EMBEDDING)
def test_texts_are_embedded(client: Client, provider: str, run: Any) -> None:
    """Numbers, whether the client asks for them as base64 (OpenAI's SDKs do, unasked) or as they are."""
    model, dimensions = EMBEDDING[provider]
    told = run(client, "embeddings", model=model, said=["Lisboa", "Porto"])
    first, second = told["vectors"]
    assert len(first) == len(second) == dimensions
    assert first != second
    assert all(isinstance(number, float) for number in first if number)


@clients("openai_sdk", "node/openai", "anthropic_sdk", "node/anthropic")
def test_models_are_listed_and_read(client: Client, run: Any) -> None:
    told = run(client, "models", model="claude-sonnet-4-6")
    assert told["ids"] == list(dict.fromkeys(told["ids"]))
    assert {*MODELS.values()} <= {*told["ids"]}
    assert told["one"] == "claude-sonnet-4-6"


@clients("anthropic_sdk", "node/anthropic")
@BACKED
def test_tokens_are_counted(client: Client, provider: str, run: Any) -> None:
    assert 2 < run(client, "count", model=MODELS[provider], said="What did you say last?")["input_tokens"] < 60
