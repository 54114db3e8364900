"""Gemini's simulator, which refuses what Google refuses, behind the service and an OpenAI client's words."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm_service.canonical.request import CompletionRequest, Message, Text, Tool
from llm_service.errors import Kind, ProviderError
from llm_service.providers.gemini import GeminiProvider
from llm_service.providers.keys import ApiKey, Keys
from tests.llm_service.serving import ANSWER, SURFACES, asking, events, openai_chunks, said, serving
from tests.simulators.faults import Fault
from tests.simulators.gemini import GeminiSimulator

Json = dict[str, Any]
MODELS = ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-flash-preview"]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}, "strict": True}}
    for name in ("weather", "time")
]


def row(sim: GeminiSimulator) -> Json:
    return {"type": "gemini", "base_url": f"{sim.base_url}/v1beta", "api_key": sim.api_key, "models": MODELS}


def provider(sim: GeminiSimulator, *, key: str | None = None) -> GeminiProvider:
    keys = Keys([ApiKey("k", key or sim.api_key)])
    return GeminiProvider("gemini", base_url=f"{sim.base_url}/v1beta", keys=keys, models=())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("surface", SURFACES)
async def test_whole_and_streamed_answers_say_the_same(surface: str, model: str, tmp_path: Path) -> None:
    async with GeminiSimulator() as sim, serving(tmp_path, {"gemini": row(sim)}) as llm:
        whole = await llm.post(surface, json=asking(model=model))
        streamed = await llm.post(surface, json=asking(model=model, stream=True))
    assert whole.json()["choices"][0]["message"]["content"] == ANSWER
    assert said(streamed.text, surface=surface) == ANSWER


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_tools_are_called_and_answered(stream: bool, model: str, tmp_path: Path) -> None:
    """The models that sign their calls take the results only with the signatures that they gave."""
    asked = 'call weather {"city": "Recife"}\ncall time {"zone": "BRT"}'
    ask: Json = {**asking(asked, model=model, stream=stream), "tools": TOOLS}
    async with GeminiSimulator() as sim, serving(tmp_path, {"gemini": row(sim)}) as llm:
        answer = await llm.post(SURFACES[0], json=ask)
        if stream:
            deltas = [chunk["choices"][0]["delta"] for chunk in openai_chunks(answer.text) if chunk["choices"]]
            calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        else:
            calls = answer.json()["choices"][0]["message"]["tool_calls"]
        arguments = [json.loads(call["function"]["arguments"]) for call in calls]
        ask["messages"].append({"role": "assistant", "content": None, "tool_calls": calls})
        ask["messages"] += [{"role": "tool", "tool_call_id": c["id"], "content": f"{n}!"} for n, c in enumerate(calls)]
        ended = await llm.post(SURFACES[0], json={**ask, "stream": False})
    assert arguments == [{"city": "Recife"}, {"zone": "BRT"}]
    assert ended.json()["choices"][0]["message"]["content"] == "0!\n1!"


async def test_a_conversation_of_another_model_goes_on_with_one_that_signs(tmp_path: Path) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ask = asking("Recife?", model="gemini-3-flash-preview", tools=TOOLS)
    ask["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Theirs."},
        {"role": "tool", "tool_call_id": "call_1", "content": "sol"},
    ]
    async with GeminiSimulator() as sim, serving(tmp_path, {"gemini": row(sim)}) as llm:
        answer = await llm.post(SURFACES[0], json=ask)
    assert answer.json()["choices"][0]["message"]["content"] == "sol"


async def test_every_setting_that_they_share_is_taken(tmp_path: Path) -> None:
    settings: Json = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 50,
        "seed": 7,
        "stop": ["END"],
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "low",
        "service_tier": "flex",
        "user": "ana",
        "metadata": {"k": "v"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    }
    async with GeminiSimulator() as sim, serving(tmp_path, {"gemini": row(sim)}) as llm:
        for model in MODELS:
            answer = await llm.post(SURFACES[0], json=asking(model=model, **settings))
            assert answer.status_code == 200, answer.text
            choice = answer.json()["choices"][0]
            assert "".join(token["token"] for token in choice["logprobs"]["content"]) == ANSWER
            assert answer.headers["x-synapscale-dropped"] == "metadata, user"


async def test_a_limit_and_a_filter_end_an_answer_as_openai_says_it(tmp_path: Path) -> None:
    async with GeminiSimulator() as sim, serving(tmp_path, {"gemini": row(sim)}) as llm:
        short = await llm.post(SURFACES[0], json=asking("Count to 9", model=MODELS[0], max_completion_tokens=2))
        withheld = await llm.post(SURFACES[0], json=asking(model="gemini/fault-content-filter"))
    assert short.json()["choices"][0]["finish_reason"] == "length"
    assert withheld.json()["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("400", 400, "provider_rejected_request"),
        ("401", 502, "provider_rejected_credentials"),
        ("404", 404, "model_not_found"),
        ("429-retry-after", 429, "provider_rate_limited"),
        ("500", 502, "provider_error"),
        ("503", 503, "provider_overloaded"),
        ("context-length", 400, "context_length_exceeded"),
        ("error-first", 503, "provider_overloaded"),
        ("html", 502, "provider_invalid_answer"),
        ("cut-clean", 502, "provider_cut_stream"),
        ("cut-reset", 502, "provider_cut_stream"),
        ("corrupt", 502, "provider_invalid_answer"),
    ],
)
async def test_a_fault_is_told_by_its_kind(fault: str, status: int, code: str, tmp_path: Path) -> None:
    async with GeminiSimulator() as sim, serving(tmp_path, {"gemini": row(sim)}) as llm:
        failed = await llm.post(SURFACES[0], json=asking("Count to 6", model=f"gemini/fault-{fault}"))
    assert (failed.status_code, failed.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("fault", ["empty", "no-usage", "split", "crlf", "comments", "huge"])
async def test_what_is_unusual_but_an_answer_is_taken_for_one(fault: str, tmp_path: Path) -> None:
    async with GeminiSimulator() as sim, serving(tmp_path, {"gemini": row(sim)}) as llm:
        answer = await llm.post(SURFACES[1], json=asking(model=f"gemini/fault-{fault}", stream=True))
    done = events(answer.text)[-1]
    assert done["type"] == "done"
    assert done["usage"]["estimated"] is (fault == "no-usage")


async def test_when_to_come_back_is_told_of_embeddings_and_counts_too(tmp_path: Path) -> None:
    limited: Json = {"status": 429, "headers": {"retry-after": "30"}}
    request = CompletionRequest(model=MODELS[0], messages=(Message(role="user", parts=(Text("Oi"),)),))
    async with GeminiSimulator() as sim, serving(tmp_path, {"gemini": row(sim)}) as llm:
        sim.faults.append(Fault("status", **limited))
        refused = await llm.post("/v1/embeddings", json={"model": "gemini-embedding-001", "input": "x"})
        sim.faults.append(Fault("status", **limited))
        gemini = provider(sim)
        with pytest.raises(ProviderError) as failed:
            await gemini.count_tokens(request, key=gemini.keys.choose())
        await gemini.close()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert failed.value.retry_after == 30


async def test_models_are_listed_tokens_counted_and_texts_embedded() -> None:
    request = CompletionRequest(
        model=MODELS[0],
        messages=(
            Message(role="system", parts=(Text("Be very brief, please."),)),
            Message(role="user", parts=(Text("Oi"),)),
        ),
        tools=(Tool(name="f"),),
    )
    bare = CompletionRequest(model=MODELS[0], messages=request.messages[1:])
    async with GeminiSimulator() as sim:
        gemini = provider(sim)
        key = gemini.keys.choose()
        assert {*MODELS, "gemini-embedding-001"} <= set(await gemini.list_models())
        assert await gemini.count_tokens(request, key=key) > await gemini.count_tokens(bare, key=key) > 0
        embedded = await gemini.embed(["a", "b"], model="gemini-embedding-001", key=key, dimensions=8, extra={})
        assert [len(one) for one in embedded.vectors] == [8, 8]
        assert embedded.vectors[0] != embedded.vectors[1]
        await gemini.close()
        stranger = provider(sim, key="wrong")
        for refused in (stranger.list_models(), stranger.count_tokens(request, key=stranger.keys.choose())):
            with pytest.raises(ProviderError) as failed:
                await refused
            assert failed.value.kind is Kind.CREDENTIALS
        await stranger.close()
