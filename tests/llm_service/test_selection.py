"""Which target a request goes to: names, routes, weights, conditions, cost and speed."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.llm_service.serving import SURFACES, Json, asking, row, serving
from tests.simulators.openai import OpenAISimulator

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
LOOKING: Json = {
    "messages": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "O que é?"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
        }
    ]
}
TOOL: Json = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4", "gpt-4.1")


async def model_for(directory: Path, request: Json, *, times: int = 1, **sections: Any) -> Counter[str]:
    """The models that answered."""
    async with (
        OpenAISimulator() as sim,
        serving(directory, {"openai": row(sim, models=MODELS)}, **sections) as llm,
    ):
        answers = [await llm.post(SURFACES[1], json=request) for _ in range(times)]
    assert {answer.status_code for answer in answers} == {200}
    return Counter(answer.headers["x-synapscale-model"] for answer in answers)


async def test_a_deployment_is_a_model_under_another_name(tmp_path: Path) -> None:
    deployments = {"mine": {"provider": "openai", "model": "gpt-4.1"}}
    assert await model_for(tmp_path, asking(model="mine"), deployments=deployments) == {"gpt-4.1": 1}


async def test_a_step_is_spread_by_weight(tmp_path: Path) -> None:
    routes = {"r": {"chain": [[{"model": "gpt-4o", "weight": 9}, {"model": "gpt-4"}]]}}
    answered = await model_for(tmp_path, asking(model="r"), times=60, routes=routes)
    assert answered["gpt-4o"] > answered["gpt-4"]
    assert set(answered) <= {"gpt-4o", "gpt-4"}


async def test_the_rest_of_a_weighted_step_stands_behind_the_one_drawn(tmp_path: Path) -> None:
    routes = {"r": [[{"model": "openai/fault-500", "weight": 1000}, {"model": "gpt-4"}]]}
    assert await model_for(tmp_path, asking(model="r"), routes=routes) == {"gpt-4": 1}


async def test_a_condition_keeps_a_model_for_requests_that_need_it(tmp_path: Path) -> None:
    routes = {"r": [{"model": "gpt-4o", "when": ["tools"]}, "gpt-4.1"]}
    assert await model_for(tmp_path, asking(model="r"), routes=routes) == {"gpt-4.1": 1}
    assert await model_for(tmp_path, asking(model="r", tools=[TOOL]), routes=routes) == {"gpt-4o": 1}


async def test_a_model_that_is_known_to_be_blind_is_passed_over_for_images(tmp_path: Path) -> None:
    routes = {"r": ["gpt-4", "gpt-4o"]}
    assert await model_for(tmp_path, asking(model="r"), routes=routes) == {"gpt-4": 1}
    assert await model_for(tmp_path, {"model": "r", **LOOKING}, routes=routes) == {"gpt-4o": 1}


async def test_a_model_that_is_asked_for_by_name_is_asked_whatever_is_known_of_it(tmp_path: Path) -> None:
    models = {"gpt-4o": {"input": ["text"]}}
    assert await model_for(tmp_path, {"model": "gpt-4o", **LOOKING}, models=models) == {"gpt-4o": 1}


async def test_a_window_that_is_too_small_is_passed_over(tmp_path: Path) -> None:
    routes, models = {"r": ["gpt-4", "gpt-4o"]}, {"gpt-4": {"context_window": 100}}
    long = asking("palavra " * 300, model="r")
    assert await model_for(tmp_path, long, routes=routes, models=models) == {"gpt-4o": 1}


@pytest.mark.parametrize("where", ["request", "route", "defaults"])
async def test_the_cheapest_is_chosen_by_what_the_request_would_cost(where: str, tmp_path: Path) -> None:
    models = {
        "gpt-4": {"context_window": 1_000_000, "prices": {"input": "0.1", "output": "100"}},
        "gpt-4o": {"context_window": 1_000_000, "prices": {"input": "10", "output": "1"}},
    }
    chain = ["gpt-4", "gpt-4o"]
    route: Json = {"chain": chain, "mode": "cheapest"} if where == "route" else {"chain": chain}
    asked = asking(model="r")
    if where == "request":
        asked["routing"] = {"mode": "cheapest"}
    defaults = {"mode": "cheapest"} if where == "defaults" else {}
    answered = await model_for(tmp_path, asked, routes={"r": route}, models=models, defaults=defaults)
    assert answered == {"gpt-4o": 1}
    long = {**asked, "messages": [{"role": "user", "content": "palavra " * 100_000}]}
    assert await model_for(tmp_path, long, routes={"r": route}, models=models, defaults=defaults) == {"gpt-4": 1}


async def test_a_model_without_a_known_price_is_not_the_cheapest(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        rows = {"mine": row(sim, models=["gpt-4-turbo-2024-04-09", "o3"], type="openai_compatible")}
        models = {"o3": {"prices": {"input": 1000, "output": 1000}}}
        routes = {"r": {"chain": ["gpt-4-turbo-2024-04-09", "o3"], "mode": "cheapest"}}
        async with serving(tmp_path, rows, models=models, routes=routes) as llm:
            answer = await llm.post(SURFACES[1], json=asking(model="r"))
    assert answer.headers["x-synapscale-model"] == "o3"


async def test_the_fastest_is_chosen_by_what_was_seen(tmp_path: Path) -> None:
    async with OpenAISimulator() as slow, OpenAISimulator() as fast:
        slow.pace = 0.03
        rows = {"slow": row(slow), "fast": row(fast)}
        async with serving(tmp_path, rows, defaults={"mode": "fastest"}) as llm:
            served = [await llm.post(SURFACES[1], json=asking(stream=True)) for _ in range(6)]
    providers = [answer.headers["x-synapscale-provider"] for answer in served]
    assert set(providers[:2]) == {"slow", "fast"}, "each is tried once, as nobody knows them"
    assert providers[2:] == ["fast"] * 4


async def test_auto_finds_a_model_that_can_do_it(tmp_path: Path) -> None:
    models = {name: {"input": ["text"]} for name in MODELS if name != "gpt-4.1"}
    assert await model_for(tmp_path, {"model": "auto", **LOOKING}, models=models) == {"gpt-4.1": 1}
    assert await model_for(tmp_path, {**LOOKING}, models=models) == {"gpt-4.1": 1}


async def test_a_route_within_a_chain_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="chains name models"):
        await model_for(tmp_path, asking(model="r"), routes={"r": ["s"], "s": ["gpt-4"]})
