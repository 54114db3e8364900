"""Conversations that are larger than a model's window, through the service to simulated providers."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service.api import eventually
from tests.llm_service.accounts.books import attempts
from tests.llm_service.serving import SURFACES, row, serving
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator

Json = dict[str, Any]
WINDOWS = {"gpt-4o": {"context_window": 1000}, "gpt-4.1": {"context_window": 1_000_000}}
SYSTEM = {"role": "system", "content": "Sê breve."}
MEMORY = "What did I say first?"


def turns(count: int, *, words: int = 100) -> list[Json]:
    """Old turns, each about twice `words` tokens."""
    made = []
    for number in range(count):
        for role in ("user", "assistant"):
            made.append({"role": role, "content": f"{role} {number} " + "palavra " * words})
    return made


def long(*, model: str = "gpt-4o", question: str = MEMORY, **fields: Any) -> Json:
    return {"model": model, "messages": [SYSTEM, *turns(10), {"role": "user", "content": question}], **fields}


def sent(simulator: Any) -> list[Json]:
    return [one.body for one in simulator.requests if one.method == "POST"]


@pytest.mark.parametrize(("strategy", "first"), [("truncate_oldest", "user 7"), ("truncate_middle", "user 0")])
@pytest.mark.parametrize("surface", SURFACES)
async def test_turns_are_left_out_in_the_clients_own_words(
    surface: str, strategy: str, first: str, tmp_path: Path
) -> None:
    asked = long(context={"strategy": strategy}, logit_bias={"50256": -100})
    asked["messages"][-3]["name"] = "maria"
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, models=WINDOWS) as llm:
        answer = await llm.post(surface, json=asked)
        body = sent(sim)[0]
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-context"] == "truncated; messages=14"
    assert body["messages"][0] == SYSTEM
    assert body["messages"][1]["content"].startswith(first)
    assert body["messages"][-3:] == asked["messages"][-3:]
    assert all(message in asked["messages"] for message in body["messages"])
    assert body["logit_bias"] == {"50256": -100}
    assert "context" not in body


async def test_what_fits_is_sent_as_it_is(tmp_path: Path) -> None:
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Olá"}], "context": {"strategy": "summarize"}}
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, models=WINDOWS) as llm:
        answer = await llm.post(SURFACES[0], json=asked)
        assert len(sent(sim)) == 1
    assert "x-synapscale-context" not in answer.headers


async def test_without_a_strategy_the_provider_says_what_is_too_long(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, models=WINDOWS) as llm:
        answer = await llm.post(SURFACES[0], json=long())
        assert len(sent(sim)[0]["messages"]) == 22
    assert answer.status_code == 200


@pytest.mark.parametrize("surface", SURFACES)
async def test_what_may_not_be_cut_is_refused_with_its_sizes(surface: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, models=WINDOWS) as llm:
        answer = await llm.post(surface, json=long(context={"strategy": "error"}))
        assert not sent(sim)
    assert answer.status_code == 400
    problem = answer.json()["error"] if surface.startswith("/v1/") else answer.json()
    assert problem["code"] == "context_length_exceeded"
    told = problem["message"] if surface.startswith("/v1/") else problem["detail"]
    assert "has room for 1000 of the 1000 of its context window" in told
    assert "openai/gpt-4o" in told


async def test_what_may_not_be_cut_goes_to_a_larger_window(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        rows = {"openai": row(sim, models=("gpt-4o", "gpt-4.1"))}
        async with serving(tmp_path, rows, models=WINDOWS) as llm:
            answer = await llm.post(SURFACES[0], json=long(context={"strategy": "error"}, fallbacks=["gpt-4.1"]))
            assert [body["model"] for body in sent(sim)] == ["gpt-4.1"]
    assert answer.headers["x-synapscale-model"] == "gpt-4.1"
    assert answer.headers["x-synapscale-fallback"] == "true"
    assert "user 0" in answer.json()["choices"][0]["message"]["content"]


async def test_a_last_turn_that_is_too_long_by_itself_is_refused(tmp_path: Path) -> None:
    asked = long(question="palavra " * 2000, context={"strategy": "truncate_oldest"})
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, models=WINDOWS) as llm:
        answer = await llm.post(SURFACES[0], json=asked)
    assert answer.status_code == 400
    assert "even without all that may be left out" in answer.json()["error"]["message"]


@pytest.mark.parametrize("where", ["request", "route", "defaults"])
async def test_a_bound_of_ones_own_holds_wherever_it_is_set(where: str, tmp_path: Path) -> None:
    wanted: Json = {"strategy": "truncate_oldest", "max_input_tokens": 500}
    chain: Json = {"chain": ["gpt-4o"], **({"context": wanted} if where == "route" else {})}
    asked = {**long(model="r"), **({"context": wanted} if where == "request" else {})}
    defaults = {"context": wanted} if where == "defaults" else {}
    routes = {"r": chain}
    async with (
        OpenAISimulator() as sim,
        serving(tmp_path, {"openai": row(sim)}, routes=routes, defaults=defaults) as llm,
    ):
        answer = await llm.post(SURFACES[0], json=asked)
    assert answer.headers["x-synapscale-context"] == "truncated; messages=16"


async def test_a_provider_that_counts_more_gets_less_once(tmp_path: Path) -> None:
    """An estimate may be too low, and a window unknown: the provider's refusal tells so."""
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, models=WINDOWS) as llm:
        sim.faults.append(Fault("status", status=400, code="context_length_exceeded"))
        answer = await llm.post(SURFACES[0], json=long(context={"strategy": "truncate_oldest"}))
        first, second = sent(sim)
        sim.faults.extend([Fault("status", status=400, code="context_length_exceeded")] * 3)
        refused = await llm.post(SURFACES[0], json=long(context={"strategy": "truncate_oldest"}))
        assert len(sent(sim)) == 4
    assert answer.status_code == 200
    assert len(second["messages"]) < len(first["messages"])
    assert refused.status_code == 400


def sim_row(simulator: Any, kind: str, model: str) -> Json:
    return {"type": kind, "base_url": simulator.base_url, "api_key": simulator.api_key, "models": [model]}


async def test_an_agents_long_loop_keeps_its_question_and_its_calls_with_their_results(tmp_path: Path) -> None:
    messages: list[Json] = [{"role": "user", "content": "Procura."}]
    for number in range(10):
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": "look", "input": {}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": "palavra " * 100}
        messages += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    asked = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 50,
        "messages": messages,
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
        "context": {"strategy": "truncate_oldest"},
    }
    models = {"claude-sonnet-4-5": {"context_window": 1200}}
    async with AnthropicSimulator() as sim:
        rows = {"anthropic": sim_row(sim, "anthropic", "claude-sonnet-4-5")}
        async with serving(tmp_path, rows, models=models) as llm:
            answer = await llm.post("/v1/messages", json=asked)
            body = sent(sim)[0]
    assert answer.status_code == 200, answer.text
    assert body["messages"][0] == messages[0]
    assert 1 < len(body["messages"]) < len(messages)
    assert body["messages"][1:] == messages[-len(body["messages"]) + 1 :]


@pytest.mark.parametrize("surface", SURFACES)
async def test_what_is_left_out_is_summarized_by_the_model_that_is_configured(surface: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, OpenAISimulator() as cheap:
        rows = {"openai": row(sim), "cheap": row(cheap, models=("gpt-4o-mini",))}
        defaults = {"context": {"summary_model": "gpt-4o-mini"}}
        async with serving(tmp_path, rows, models=WINDOWS, defaults=defaults) as llm:
            cheap.will_answer("Falaram de palavras.")
            answer = await llm.post(surface, json=long(context={"strategy": "summarize"}))
            shown, body = sent(cheap)[0], sent(sim)[0]
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-context"].startswith("summarized; messages=")
    assert answer.headers["x-synapscale-attempts"] == "1"
    assert answer.headers["x-synapscale-fallback"] == "false"
    assert "user 0" in shown["messages"][1]["content"]
    assert body["messages"][0] == SYSTEM
    assert "Falaram de palavras." in body["messages"][1]["content"]
    assert body["messages"][-1]["content"] == MEMORY


@pytest.mark.parametrize("failure", [Fault("status", status=500), Fault("empty"), Fault("cut", after=1)])
async def test_without_a_summary_the_oldest_is_left_out(failure: Fault, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, OpenAISimulator() as cheap:
        rows = {"openai": row(sim), "cheap": row(cheap, models=("gpt-4o-mini",))}
        defaults = {"context": {"summary_model": "gpt-4o-mini"}}
        async with serving(tmp_path, rows, models=WINDOWS, defaults=defaults) as llm:
            cheap.faults.extend([failure] * 2)
            answer = await llm.post(SURFACES[0], json=long(context={"strategy": "summarize"}))
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-context"] == "truncated; messages=14"


async def test_a_silent_summarizer_leaves_half_of_the_deadline_to_the_answer(tmp_path: Path) -> None:
    asked = long(context={"strategy": "summarize"}, routing={"deadline_ms": 2000})
    async with OpenAISimulator() as sim, OpenAISimulator() as cheap:
        rows = {"openai": row(sim), "cheap": row(cheap, models=("gpt-4o-mini",))}
        defaults = {"context": {"summary_model": "gpt-4o-mini"}}
        async with serving(tmp_path, rows, models=WINDOWS, defaults=defaults) as llm:
            cheap.faults.append(Fault("stall-headers"))
            began = time.monotonic()
            answer = await llm.post(SURFACES[0], json=asked)
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-context"] == "truncated; messages=14"
    assert time.monotonic() - began < 2


async def test_a_summary_is_paid_for_as_an_attempt_of_its_own(database_url: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, OpenAISimulator() as cheap:
        rows = {"openai": row(sim), "cheap": row(cheap, models=("gpt-4o-mini",))}
        defaults = {"context": {"summary_model": "gpt-4o-mini"}}
        async with serving(tmp_path, rows, models=WINDOWS, defaults=defaults, database_url=database_url) as llm:
            cheap.will_answer("Falaram de palavras.")
            await llm.post(SURFACES[0], json=long(context={"strategy": "summarize"}))

            async def stand() -> bool:
                return len(await attempts(database_url)) == 2

            await eventually(stand, what="the ledger has both attempts", within=5)
    summary, answer = sorted(await attempts(database_url), key=lambda one: one["number"])
    assert (summary["model"], summary["result"]) == ("gpt-4o-mini", "completed")
    assert (answer["model"], answer["result"]) == ("gpt-4o", "completed")
    assert summary["input_tokens"] > 1000


async def test_the_attempts_of_a_summary_stand_before_the_one_that_it_is_for(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, OpenAISimulator() as cheap:
        rows = {"openai": row(sim), "cheap": row(cheap, models=("gpt-4o-mini",))}
        defaults = {"context": {"summary_model": "gpt-4o-mini"}}
        async with serving(tmp_path, rows, models=WINDOWS, defaults=defaults) as llm:
            cheap.faults.extend([Fault("status", status=500)] * 2)
            sim.faults.append(Fault("status", status=400))
            answer = await llm.post(SURFACES[1], json=long(context={"strategy": "summarize"}))
    assert [one["model"] for one in answer.json()["attempts"]] == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]


async def test_a_summary_that_nobody_can_make_costs_no_answer(tmp_path: Path) -> None:
    defaults = {"context": {"summary_model": "nobody-has-it"}}
    async with (
        OpenAISimulator() as sim,
        serving(tmp_path, {"openai": row(sim)}, models=WINDOWS, defaults=defaults) as llm,
    ):
        answer = await llm.post(SURFACES[0], json=long(context={"strategy": "summarize"}))
    assert answer.headers["x-synapscale-context"] == "truncated; messages=14"


@pytest.mark.parametrize(
    "wrong",
    [
        {"strategy": "forget"},
        {"max_input_tokens": 0},
        {"of": 1},
        "error",
        {"strategy": "error", "max_input_tokens": "x"},
    ],
)
async def test_a_context_that_is_none_is_refused_by_its_name(wrong: Any, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(SURFACES[0], content=json.dumps(long(context=wrong)))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "context"
