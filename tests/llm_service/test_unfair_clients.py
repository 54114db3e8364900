"""Clients that would take more than is theirs, or take it from others."""

import time
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from llm_service.accounting.estimates import estimated_tokens, most_output_tokens, sets_output_limit
from llm_service.canonical.tokens import json_tokens
from llm_service.dialects import ANTHROPIC
from llm_service.dialects.ingress import Ingress
from llm_service.routing.breaker import FAILURES
from tests.llm_service.serving import SURFACES, asking, row, serving
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator
from tests.tokens import bearer

LONG = "Diga tudo o que sabe. " * 5000


@pytest.mark.parametrize("wish", [{"routing": {"deadline_ms": 50}}, {"fallbacks": ["gpt-4"]}])
async def test_a_client_in_a_hurry_opens_no_circuit_for_others(wish: dict[str, Any], tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        rows = {"openai": row(sim, models=("gpt-4o", "gpt-4"))}
        async with serving(tmp_path, rows, timeouts={"deadline": 0.2, "headers": 60}) as llm:
            sim.faults.extend(Fault("stall-headers") for _ in range(2 * FAILURES))
            for _ in range(FAILURES):
                hurried = await llm.post(SURFACES[1], json=asking(stream=True, **wish))
                assert hurried.status_code == 504
            sim.faults.clear()
            patient = await llm.post(SURFACES[1], json=asking())
    assert patient.status_code == 200


async def test_silence_that_no_client_has_hurried_still_opens_the_circuit(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, timeouts={"headers": 0.1}) as llm:
        sim.faults.extend(Fault("stall-headers") for _ in range(FAILURES))
        for _ in range(FAILURES):
            await llm.post(SURFACES[1], json=asking(stream=True, routing={"deadline_ms": 5000}))
        answer = await llm.post(SURFACES[1], json=asking())
    assert answer.json()["code"] == "provider_circuit_open"


@pytest.mark.parametrize(
    "hidden",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"url": LONG}}}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"data": "Diga+tudo" * 10_000}}}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": LONG}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": LONG}}]}]},
    ],
)
def test_text_is_counted_as_text_wherever_it_is_put(hidden: dict[str, Any]) -> None:
    assert estimated_tokens(hidden) > 20_000


def test_files_are_counted_as_files() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 10_000}}
    assert 1000 < estimated_tokens({"messages": [{"role": "user", "content": [image]}]}) < 3000


@pytest.mark.parametrize(
    ("limits", "longest", "most"),
    [
        ({"max_tokens": 1, "max_completion_tokens": 9000}, None, 9000),
        ({"max_output_tokens": 1}, 8000, 8000),
        ({"max_tokens": True}, 8000, 8000),
        ({"max_tokens": 100_000}, None, 100_000),
        ({"max_tokens": 100_000, "n": 3}, 8000, 24_000),
        ({"max_tokens": -5}, 8000, 8000),
    ],
)
def test_the_longest_answer_that_might_come_is_reserved(limits: dict[str, Any], longest: int | None, most: int) -> None:
    assert most_output_tokens(limits, longest=longest) == most


@pytest.mark.parametrize("endless", [-1, 0, None, True, "many"])
def test_what_bounds_no_answer_is_no_limit(endless: Any) -> None:
    assert not sets_output_limit({"max_tokens": endless})


def test_many_files_among_many_words_are_counted_in_no_time() -> None:
    body = {"tools": ["x" * 4200 + str(number) for number in range(1000)] + ["a"] * 200_000}
    started = time.process_time()
    assert json_tokens(body) > 1_000_000
    assert time.process_time() - started < 1


async def test_a_key_for_some_models_reaches_no_other_by_words_of_the_provider(tmp_path: Path) -> None:
    mine = {"claude-sonnet-4-5"}
    headers = bearer(policy={"models": [*mine, "gpt-4o"]})
    dearer: list[tuple[str, dict[str, Any]]] = [
        ("/v1/messages", {"fallbacks": [{"model": "claude-opus-4-5"}]}),
        ("/v1/messages", {"fallbacks": "default"}),
        ("/v1/messages", {"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-5"}]}),
        ("/v1/chat/completions", {"models": ["anthropic/claude-opus-4-5"]}),
    ]
    async with AnthropicSimulator() as sim, OpenAISimulator() as other:
        anthropic = {"type": "anthropic", "base_url": sim.base_url, "api_key": sim.api_key, "models": [*mine]}
        async with serving(tmp_path, {"anthropic": anthropic, "openai": row(other)}) as llm:
            for path, named in dearer:
                model = "gpt-4o" if "chat" in path else "claude-sonnet-4-5"
                body = asking(model=model, max_tokens=9, **named)
                refused = await llm.post(path, json=body, headers=headers)
                assert refused.status_code == 403, (named, refused.text)
        assert not [one for one in (*sim.requests, *other.requests) if one.method == "POST"]


async def test_a_header_that_no_provider_could_be_told_is_the_clients_mistake(tmp_path: Path) -> None:
    async with AnthropicSimulator() as sim:
        anthropic = {"type": "anthropic", "base_url": sim.base_url, "api_key": sim.api_key, "models": ["claude-x"]}
        async with serving(tmp_path, {"anthropic": anthropic}) as llm:
            body = asking(model="claude-x", max_tokens=9)
            headers = [(b"anthropic-beta", "á".encode("latin-1"))]
            answer = await llm.post("/v1/messages", json=body, headers=headers)
    assert answer.status_code == 400
    assert "anthropic-beta" in answer.text


async def test_names_of_fallbacks_are_bounded_like_the_models(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(SURFACES[1], json=asking(fallbacks=["x" * 100_000]))
    assert answer.status_code == 422
    assert len(answer.content) < 2000


@pytest.mark.parametrize("told", [10, 10.0, "10", "1e1"])
@pytest.mark.parametrize("field", ["n", "best_of"])
def test_choices_are_reserved_for_however_their_number_is_written(field: str, told: Any) -> None:
    assert most_output_tokens({"max_tokens": 50, field: told}, longest=None) == 500


@pytest.mark.parametrize("name", ["Model", "MODEL", "model\u017f", "Max_Tokens", "N"])
async def test_a_name_that_some_provider_may_read_as_another_is_refused(name: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(SURFACES[0], json=asking() | {name: "gpt-4"})
        assert sim.requests == [] or all(request.method == "GET" for request in sim.requests)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == name


@pytest.mark.parametrize("models", ["gpt-4", {"0": "gpt-4"}, [["gpt-4"]], [{"model": "gpt-4"}]])
async def test_models_that_are_no_names_are_none_that_a_key_may_use(models: Any, tmp_path: Path) -> None:
    key = bearer(policy={"models": ["gpt-4o"]})
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(SURFACES[0], json=asking(model="gpt-4o", models=models), headers=key)
    assert answer.status_code == 403


def test_lines_of_one_header_are_one_list() -> None:
    lines = Headers(raw=[(b"anthropic-beta", b"a-1"), (b"anthropic-beta", b"b-2")])
    body = b'{"messages": [{"role": "user", "content": "x"}]}'
    assert Ingress(body, dialect=ANTHROPIC, headers=lines).headers == {"anthropic-beta": "a-1, b-2"}
