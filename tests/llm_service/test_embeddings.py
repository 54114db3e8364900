"""Texts as vectors, by every provider that makes them."""

import base64
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from tests.llm_service.serving import Json, row, serving
from tests.simulators.faults import Fault
from tests.simulators.gemini import GeminiSimulator
from tests.simulators.mistral import MistralSimulator
from tests.simulators.openai import OpenAISimulator

KINDS: dict[str, tuple[type[Any], str]] = {
    "openai": (OpenAISimulator, "text-embedding-3-small"),
    "gemini": (GeminiSimulator, "gemini-embedding-001"),
    "mistral": (MistralSimulator, "mistral-embed"),
}
TEXTS = ["Brasília", "São Paulo", "Brasília"]


def provider(kind: str, simulator: Any) -> Json:
    return {
        "type": kind,
        "base_url": simulator.base_url + ("/v1beta" if kind == "gemini" else ""),  # each as its provider documents it
        "api_key": simulator.api_key,
        "models": [KINDS[kind][1]],
    }


@asynccontextmanager
async def embedding(kind: str, directory: Path) -> AsyncIterator[tuple[Any, httpx2.AsyncClient]]:
    async with KINDS[kind][0]() as simulator, serving(directory, {kind: provider(kind, simulator)}) as llm:
        yield simulator, llm


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/v1/embeddings", "/api/llm/embeddings"])
async def test_each_text_has_its_vector(path: str, kind: str, tmp_path: Path) -> None:
    async with embedding(kind, tmp_path) as (_, llm):
        answer = await llm.post(path, json={"model": KINDS[kind][1], "input": TEXTS})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [one["index"] for one in body["data"]] == [0, 1, 2]
    vectors = [one["embedding"] for one in body["data"]]
    assert vectors[0] == vectors[2] != vectors[1]
    assert body["model"] == KINDS[kind][1]
    assert answer.headers["x-synapscale-provider"] == kind
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"]


@pytest.mark.parametrize("kind", KINDS)
async def test_vectors_may_be_shorter_and_in_base64(kind: str, tmp_path: Path) -> None:
    asked = {"model": KINDS[kind][1], "input": "Brasília", "dimensions": 256, "encoding_format": "base64"}
    async with embedding(kind, tmp_path) as (_, llm):
        packed = (await llm.post("/v1/embeddings", json=asked)).json()["data"][0]["embedding"]
        plain = (await llm.post("/v1/embeddings", json={**asked, "encoding_format": "float"})).json()
    numbers = struct.unpack("<256f", base64.b64decode(packed))
    assert numbers == pytest.approx(plain["data"][0]["embedding"], abs=1e-6)


async def test_openais_own_client_reads_them(tmp_path: Path) -> None:
    async with embedding("openai", tmp_path) as (_, llm):
        base_url = str(llm.base_url).rstrip("/") + "/v1"
        client = AsyncOpenAI(base_url=base_url, api_key=llm.headers["authorization"].split()[1], http_client=llm)
        found = await client.embeddings.create(model="text-embedding-3-small", input=TEXTS)
    assert len(found.data) == 3
    assert found.usage.prompt_tokens > 0


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"input": []}, "/input"),
        ({"input": ""}, "/input"),
        ({"input": [[]]}, "/input"),
        ({"input": ["a", 3]}, "/input"),
        ({"dimensions": 0}, "/dimensions"),
        ({"encoding_format": "hex"}, "/encoding_format"),
    ],
)
async def test_a_field_of_the_wrong_kind_is_named(change: Json, pointer: str, tmp_path: Path) -> None:
    async with embedding("openai", tmp_path) as (_, llm):
        answer = await llm.post("/api/llm/embeddings", json={"model": "x", "input": "a", **change})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)


async def test_another_provider_of_the_same_model_takes_over(tmp_path: Path) -> None:
    model = KINDS["openai"][1]
    async with OpenAISimulator() as bad, OpenAISimulator() as good:
        rows = {"bad": row(bad, models=[model]), "good": row(good, models=[model])}
        async with serving(tmp_path, rows) as llm:
            bad.faults.extend([Fault("status", status=500)] * 2)
            answer = await llm.post("/v1/embeddings", json={"model": model, "input": "a"})
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-provider"] == "good"
    assert answer.headers["x-synapscale-attempts"] == "3"


async def test_another_model_never_takes_over(tmp_path: Path) -> None:
    """Its vectors would mean something else."""
    async with OpenAISimulator() as sim:
        models = [KINDS["openai"][1], "text-embedding-3-large"]
        async with serving(tmp_path, {"openai": row(sim, models=models)}, routes={"r": models}) as llm:
            sim.faults.extend([Fault("status", status=500)] * 2)
            answer = await llm.post("/api/llm/embeddings", json={"model": "r", "input": "a"})
        asked = {request.body["model"] for request in sim.requests if request.method == "POST"}
    assert answer.status_code == 502
    assert asked == {models[0]}


async def test_tokens_are_taken_where_the_provider_takes_them(tmp_path: Path) -> None:
    async with embedding("openai", tmp_path) as (_, llm):
        answer = await llm.post("/v1/embeddings", json={"model": KINDS["openai"][1], "input": [[1, 2], [3]]})
    assert len(answer.json()["data"]) == 2
    async with embedding("mistral", tmp_path) as (_, llm):
        refused = await llm.post("/v1/embeddings", json={"model": KINDS["mistral"][1], "input": [1, 2]})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "input"
