"""Gemini as a provider: asked over a real socket, for clients that speak OpenAI's dialect or ours."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionContentPartParam

from llm_service.canonical.request import CompletionRequest, Message, Text, Tool
from llm_service.dialects import GEMINI
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError
from llm_service.providers import Call
from llm_service.providers.gemini import GeminiProvider
from llm_service.providers.keys import ApiKey, Keys
from tests.llm_service.gemini_stub import KEY, GeminiStub, gemini, row
from tests.llm_service.gemini_words import checked, collected, part_answer
from tests.llm_service.serving import SURFACES, asking, events, openai_chunks, said, serving

Json = dict[str, Any]
MODEL = "gemini-3.5-flash"
TEXT = part_answer({"text": "A capital do Brasil é Brasília."})
STREAM = [part_answer({"text": "A capital do Brasil"}, reason=None), part_answer({"text": " é Brasília."})]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALLS = [
    part_answer({"text": "Hm.", "thought": True}, reason=None),
    part_answer(
        {"functionCall": {"name": "weather", "args": {"city": "Recife"}}, "thoughtSignature": "c2VhbA=="}, reason=None
    ),
    part_answer({"functionCall": {"name": "weather", "args": {"city": "Olinda"}}}, reason=None),
    part_answer({"text": ""}),
]
SHOWN: list[ChatCompletionContentPartParam] = [
    {"type": "text", "text": "Copy."},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.webp"}},
]


@asynccontextmanager
async def openai_client(llm: httpx2.AsyncClient) -> AsyncIterator[AsyncOpenAI]:
    token = llm.headers["authorization"].removeprefix("Bearer ")
    async with AsyncOpenAI(
        api_key=token, base_url=f"{str(llm.base_url).rstrip('/')}/v1", http_client=llm, max_retries=0
    ) as client:
        yield client


def provider(stub: GeminiStub, *keys: ApiKey) -> GeminiProvider:
    return GeminiProvider("gemini", base_url=stub.base_url, keys=Keys(keys or (ApiKey("k", KEY),)), models=(MODEL,))


@pytest.mark.parametrize("surface", SURFACES)
async def test_whole_and_streamed_answers_say_the_same(surface: str, tmp_path: Path) -> None:
    async with gemini(STREAM, STREAM) as stub, serving(tmp_path, {"gemini": row(stub)}) as llm:
        whole = await llm.post(surface, json=asking(model=MODEL))
        streamed = await llm.post(surface, json=asking(model=MODEL, stream=True))
    assert whole.json()["choices"][0]["message"]["content"] == "A capital do Brasil é Brasília."
    assert said(streamed.text, surface=surface) == "A capital do Brasil é Brasília."
    assert whole.headers["x-synapscale-provider"] == "gemini"
    assert {request.headers["x-goog-api-key"] for request in stub.asked} == {KEY}
    assert not any("authorization" in request.headers for request in stub.asked)
    for request in stub.asked:
        assert request.path == f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
        assert "model" not in checked(request.body)


async def test_usage_reaches_the_client_once_however_often_it_was_told(tmp_path: Path) -> None:
    grown = {"promptTokenCount": 5, "candidatesTokenCount": 9, "thoughtsTokenCount": 4, "totalTokenCount": 18}
    answer = [STREAM[0], part_answer({"text": "!"}, usage=grown)]
    async with gemini(answer, answer) as stub, serving(tmp_path, {"gemini": row(stub)}) as llm:
        asked = asking(model=MODEL, stream=True, stream_options={"include_usage": True})
        chunks = openai_chunks((await llm.post(SURFACES[0], json=asked)).text)
        native = events((await llm.post(SURFACES[1], json=asked)).text)
    (usage,) = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (5, 13, 18)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 4
    assert native[-1]["usage"]["output_tokens"] == 13


@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_calls_and_their_signature_survive_a_second_turn_of_an_openai_client(
    stream: bool, tmp_path: Path
) -> None:
    ask: Json = {"model": MODEL, "messages": [{"role": "user", "content": "Recife e Olinda?"}], "tools": [TOOL]}
    async with gemini(CALLS, STREAM) as stub, serving(tmp_path, {"gemini": row(stub)}) as llm:
        message = await _answered(llm, {**ask, "stream": stream})
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": f"{number} °C"}
            for number, call in enumerate(message["tool_calls"])
        ]
        ask["messages"] += [message, *results]
        await _answered(llm, {**ask, "stream": stream})
    first, second = (checked(request.body)["contents"] for request in stub.asked)
    assert first == [{"role": "user", "parts": [{"text": "Recife e Olinda?"}]}]
    calls = [part for part in second[1]["parts"] if "functionCall" in part]
    assert [call["functionCall"]["args"] for call in calls] == [{"city": "Recife"}, {"city": "Olinda"}]
    assert [call.get("thoughtSignature") for call in calls] == ["c2VhbA==", None]
    responses = [part["functionResponse"] for part in second[2]["parts"]]
    assert [one["response"] for one in responses] == [{"output": "0 °C"}, {"output": "1 °C"}]
    assert [one["id"] for one in responses] == [call["functionCall"]["id"] for call in calls]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_signature_of_a_text_survives_a_second_turn_of_an_openai_client(stream: bool, tmp_path: Path) -> None:
    signed = [
        part_answer({"text": "Hm.", "thought": True}, reason=None),
        part_answer({"text": "Sim", "thoughtSignature": "c2VhbA=="}, reason=None),
        part_answer({"text": "."}),
    ]
    ask: Json = {"model": MODEL, "messages": [{"role": "user", "content": "Certo?"}]}
    async with gemini(signed, STREAM) as stub, serving(tmp_path, {"gemini": row(stub)}) as llm:
        message = await _answered(llm, {**ask, "stream": stream})
        ask["messages"] += [message, {"role": "user", "content": "Mesmo?"}]
        await _answered(llm, {**ask, "stream": True})
    assert message["reasoning_content"] == "Hm."
    turn = checked(stub.asked[1].body)["contents"][1]
    assert turn["parts"] == [{"text": "Hm.", "thought": True}, {"text": "Sim.", "thoughtSignature": "c2VhbA=="}]


async def _answered(llm: httpx2.AsyncClient, ask: Json) -> Json:
    """The assistant's message, as a client keeps it: streamed deltas are put together by their index."""
    answer = await llm.post(SURFACES[0], json=ask)
    assert answer.status_code == 200, answer.text
    if not ask["stream"]:
        found: Json = answer.json()["choices"][0]["message"]
        return found
    message: Json = {"role": "assistant", "content": ""}
    for delta in (chunk["choices"][0]["delta"] for chunk in openai_chunks(answer.text) if chunk["choices"]):
        for name in ("content", "reasoning_content"):
            message[name] = (message.get(name) or "") + (delta.get(name) or "")
        for name in ("tool_calls", "reasoning_details"):
            if name in delta:
                message.setdefault(name, []).extend(delta[name])
    return message


async def test_the_official_openai_client_gets_images_and_structured_output(tmp_path: Path) -> None:
    drawn = part_answer({"text": '{"a": 1}'}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}})
    schema: dict[str, object] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    async with (
        gemini([drawn]) as stub,
        serving(tmp_path, {"gemini": row(stub)}) as llm,
        openai_client(llm) as client,
    ):
        completion = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": SHOWN}],
            response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}},
            reasoning_effort="low",
        )
    assert completion.choices[0].message.content == '{"a": 1}'
    assert completion.choices[0].finish_reason == "stop"
    (image,) = (completion.choices[0].message.model_extra or {})["images"]
    assert image["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
    body = checked(stub.asked[0].body)
    assert body["contents"][0]["parts"][1:] == [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        {"fileData": {"fileUri": "https://example.com/a.webp", "mimeType": "image/webp"}},
    ]
    assert body["generationConfig"] == {
        "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }


async def test_what_gemini_cannot_be_asked_is_a_400_that_names_it_or_dropped_and_told(tmp_path: Path) -> None:
    ask = asking(model=MODEL, logit_bias={"1": 2})
    async with gemini(STREAM) as stub, serving(tmp_path, {"gemini": row(stub)}) as llm:
        refused = await llm.post(SURFACES[0], json=ask)
        allowed = await llm.post(SURFACES[0], json={**ask, "drop_params": ["logit_bias"]})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "logit_bias"
    assert allowed.status_code == 200
    assert allowed.headers["x-synapscale-dropped"] == "logit_bias"


@pytest.mark.parametrize("parallel", [True, False])
async def test_a_client_that_wants_one_call_at_a_time_gets_the_first(parallel: bool, tmp_path: Path) -> None:
    """Vercel's SDK and LangChain ask for it wherever a structured answer is a tool; Gemini has no word for it."""
    asked: Json = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "tools": [TOOL]}
    async with (
        gemini(CALLS, CALLS) as stub,
        serving(tmp_path, {"gemini": row(stub)}) as llm,
        openai_client(llm) as client,
    ):
        whole = await client.chat.completions.create(**asked, parallel_tool_calls=parallel)
        async with client.chat.completions.stream(**asked, parallel_tool_calls=parallel) as events_:
            streamed = await events_.get_final_completion()
    for completion in (whole, streamed):
        calls = completion.choices[0].message.tool_calls or []
        cities = [call.function.arguments for call in calls if call.type == "function"]
        assert cities == (['{"city":"Recife"}', '{"city":"Olinda"}'] if parallel else ['{"city":"Recife"}'])
        assert completion.choices[0].finish_reason == "tool_calls"


async def test_a_name_that_is_no_model_changes_nothing_but_one_step_of_the_path(tmp_path: Path) -> None:
    sneaky = "x/../../v1/files?key=a#b"
    async with gemini(STREAM) as stub, serving(tmp_path, {"gemini": row(stub)}) as llm:
        answer = await llm.post(SURFACES[0], json=asking(model=f"gemini/{sneaky}"))
    assert answer.status_code == 200
    assert stub.asked[0].path == ("/v1beta/models/x%2F..%2F..%2Fv1%2Ffiles%3Fkey%3Da%23b:streamGenerateContent?alt=sse")


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ([STREAM[0]], 502, "provider_cut_stream"),
        ((200, "text/html", b"<html>"), 502, "provider_invalid_answer"),
        ((404, "application/json", b'{"error": {"code": 404, "status": "NOT_FOUND"}}'), 404, "model_not_found"),
        ([{"promptFeedback": {"blockReason": "SAFETY"}}], 400, "content_filter"),
        ([{"error": {"code": 400, "message": "API key not valid."}}], 502, "provider_rejected_credentials"),
    ],
)
async def test_a_failure_is_told_to_the_client_by_its_kind(answer: Any, status: int, code: str, tmp_path: Path) -> None:
    async with gemini(answer, answer) as stub, serving(tmp_path, {"gemini": row(stub)}) as llm:
        failed = await llm.post(SURFACES[0], json=asking(model=MODEL))
    assert (failed.status_code, failed.json()["error"]["code"]) == (status, code)


async def test_a_quota_rests_the_key_for_as_long_as_google_says(tmp_path: Path) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33s"}]
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota.", "details": details}}
    limited = (429, "application/json", json.dumps(error).encode())
    async with gemini(limited) as stub, serving(tmp_path, {"gemini": row(stub)}) as llm:
        first = await llm.post(SURFACES[0], json=asking(model=MODEL))
        second = await llm.post(SURFACES[0], json=asking(model=MODEL))
    assert first.status_code == second.status_code == 429
    assert first.headers["retry-after"] == "33"
    assert 30 <= int(second.headers["retry-after"]) <= 33
    assert len(stub.asked) == 1


async def test_a_whole_answer_is_asked_for_and_relayed_to_who_speaks_geminis_dialect() -> None:
    ingress = Ingress(json.dumps({"messages": [{}], "contents": [], "stream": False}).encode(), dialect=GEMINI)
    call = Call(ingress=ingress, model=MODEL, stream=False, connect_timeout=5, key=ApiKey("k", KEY))
    async with gemini(TEXT) as stub:
        gemini_provider = provider(stub)
        incoming = await gemini_provider.open(call)
        piece, nothing = await incoming.next(), await incoming.next()
        await incoming.close()
        await gemini_provider.close()
    assert piece is not None
    assert nothing is None
    assert json.loads(piece.raw) == TEXT
    assert collected(piece.events).text == "A capital do Brasil é Brasília."
    assert stub.asked[0].path == f"/v1beta/models/{MODEL}:generateContent"


async def test_models_that_complete_or_embed_are_listed_page_by_page() -> None:
    def listed(name: str, action: str) -> Json:
        return {"name": f"models/{name}", "supportedGenerationMethods": [action]}

    pages = (
        {"models": [listed("gemini-a", "generateContent"), listed("veo", "predict")], "nextPageToken": "2"},
        {"models": [listed("gemini-embedding", "embedContent")]},
    )
    async with gemini() as stub:
        stub.pages.extend(pages)
        gemini_provider = provider(stub)
        assert await gemini_provider.list_models() == ("gemini-a", "gemini-embedding")
        await gemini_provider.close()
    assert [request.path.partition("?")[0] for request in stub.asked] == ["/v1beta/models"] * 2
    assert {request.headers["x-goog-api-key"] for request in stub.asked} == {KEY}


async def test_tokens_are_counted_with_system_prompt_and_tools() -> None:
    request = CompletionRequest(
        model=MODEL,
        messages=(Message(role="system", parts=(Text("Be brief."),)), Message(role="user", parts=(Text("Oi"),))),
        tools=(Tool(name="f"),),
    )
    async with gemini({"totalTokens": 31}, {"no": 1}, (400, "application/json", b"{}")) as stub:
        gemini_provider = provider(stub)
        assert await gemini_provider.count_tokens(request, key=ApiKey("k", KEY)) == 31
        for kind in (Kind.INVALID_ANSWER, Kind.BAD_REQUEST):
            with pytest.raises(ProviderError) as failed:
                await gemini_provider.count_tokens(request, key=None)
            assert failed.value.kind is kind
        await gemini_provider.close()
    asked = stub.asked[0]
    assert asked.path == f"/v1beta/models/{MODEL}:countTokens"
    counted = asked.body["generateContentRequest"]
    assert counted.pop("model") == f"models/{MODEL}"
    assert checked(counted).keys() == {"contents", "systemInstruction", "tools"}


@pytest.mark.parametrize("model", ["gemini-embedding-001", "gemini-embedding-2"])
async def test_each_text_is_embedded_for_itself(model: str) -> None:
    answer = {"embeddings": [{"values": [0.5, 1]}, {"values": [0, -1.5]}]}
    async with gemini(answer) as stub:
        gemini_provider = provider(stub)
        embeddings = await gemini_provider.embed(
            ["a", "b"], model=model, key=ApiKey("k", KEY), dimensions=2, extra={"task_type": "RETRIEVAL_QUERY"}
        )
        await gemini_provider.close()
    assert embeddings.vectors == ((0.5, 1.0), (0.0, -1.5))
    assert embeddings.usage.estimated
    asked = stub.asked[0]
    assert asked.path == f"/v1beta/models/{model}:batchEmbedContents"
    assert [one["content"]["parts"] for one in asked.body["requests"]] == [[{"text": "a"}], [{"text": "b"}]]
    assert {one["outputDimensionality"] for one in asked.body["requests"]} == {2}
    assert {one["taskType"] for one in asked.body["requests"]} == {"RETRIEVAL_QUERY"}


@pytest.mark.parametrize(
    ("inputs", "extra", "answer", "kind"),
    [
        ([[1, 2]], {}, {}, Kind.BAD_REQUEST),
        (["a"], {"encoding": "x"}, {}, Kind.BAD_REQUEST),
        (["a"], {}, {"embeddings": []}, Kind.INVALID_ANSWER),
        (["a"], {}, (429, "application/json", b'{"error": {"code": 429}}'), Kind.RATE_LIMITED),
        (["a"], {}, (503, "text/html", b"<html>"), Kind.OVERLOADED),
        (["a"], {}, (200, "text/html", b"<html>"), Kind.INVALID_ANSWER),
    ],
)
async def test_embeddings_fail_by_kind(inputs: Any, extra: Json, answer: Any, kind: Kind) -> None:
    async with gemini(answer) as stub:
        gemini_provider = provider(stub)
        with pytest.raises(ProviderError) as failed:
            await gemini_provider.embed(inputs, model="gemini-embedding-001", key=None, dimensions=None, extra=extra)
        await gemini_provider.close()
    assert failed.value.kind is kind


async def test_a_provider_that_is_not_there_is_unreachable() -> None:
    async with gemini() as stub:
        gone = provider(stub)
    for asking_it in (gone.list_models(), gone.embed(["a"], model="m", key=None, dimensions=None, extra={})):
        with pytest.raises(ProviderError) as failed:
            await asking_it
        assert failed.value.kind is Kind.UNREACHABLE
    await gone.close()
