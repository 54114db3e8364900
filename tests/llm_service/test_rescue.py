"""Keys that rest, circuits that open, answers that are held back, and what operators see of it."""

import asyncio
from pathlib import Path

import pytest

from llm_service.routing.answering import MOST_HELD_BYTES
from llm_service.routing.breaker import FAILURES
from tests.llm_service.anthropic_wire import message, sse, stub_row, stubbed
from tests.llm_service.serving import ANSWER, SURFACES, Json, asking, row, said, serving
from tests.simulators.faults import Fault
from tests.simulators.http import nothing_listens
from tests.simulators.openai import OpenAISimulator


def keyed(simulator: OpenAISimulator, *keys: Json) -> Json:
    return {"type": "openai", "base_url": simulator.base_url, "models": ["gpt-4o", "gpt-4"], "api_keys": list(keys)}


def asked_with(simulator: OpenAISimulator) -> list[str]:
    return [one.headers["authorization"].split()[-1] for one in simulator.requests if one.method == "POST"]


async def test_a_limited_key_is_replaced_at_once_and_rests(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        keys = ({"key": sim.api_key, "name": "one"}, {"key": sim.api_key, "name": "two"})
        async with serving(tmp_path, {"openai": keyed(sim, *keys)}) as llm:
            sim.faults.append(Fault("status", status=429, headers={"retry-after": "30"}))
            first = await llm.post(SURFACES[1], json=asking())
            status = (await llm.get("/api/llm/providers")).json()["data"][0]
            further = [await llm.post(SURFACES[1], json=asking()) for _ in range(8)]
    assert first.status_code == 200
    assert first.headers["x-synapscale-attempts"] == "2"
    assert first.headers["x-synapscale-fallback"] == "false"
    assert {answer.headers["x-synapscale-attempts"] for answer in further} == {"1"}
    assert status["status"] == "degraded"
    rests = sorted(key["rests_for"] for key in status["keys"])
    assert rests[0] == 0
    assert 25 < rests[1] <= 30
    measured = [*rests, status["targets"][0]["first_content_ms"], status["targets"][0]["tokens_per_second"]]
    assert measured == [round(one, 1) for one in measured]


async def test_a_limit_of_one_model_leaves_the_key_to_others(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": keyed(sim, {"key": sim.api_key})}) as llm:
        sim.faults.append(Fault("status", status=429, headers={"retry-after": "30"}))
        limited = await llm.post(SURFACES[1], json=asking())
        again = await llm.post(SURFACES[1], json=asking())
        other = await llm.post(SURFACES[1], json=asking(model="gpt-4"))
        assert len(asked_with(sim)) == 2
    assert limited.status_code == again.status_code == 429
    assert limited.headers["retry-after"] == "30"
    assert 28 <= int(again.headers["retry-after"]) <= 30
    assert other.status_code == 200


async def test_a_refused_key_is_taken_out(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        keys = ({"key": "sk-wrong", "weight": 1000}, {"key": sim.api_key})
        async with serving(tmp_path, {"openai": keyed(sim, *keys)}) as llm:
            answers = [await llm.post(SURFACES[1], json=asking()) for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        assert asked_with(sim).count("sk-wrong") == 1


async def test_with_all_keys_refused_the_next_client_is_told_so_too(tmp_path: Path) -> None:
    """And not that some limit is reached: nothing that the client does would help."""
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": keyed(sim, {"key": "sk-wrong"})}) as llm:
        answers = [await llm.post(SURFACES[1], json=asking()) for _ in range(2)]
        assert asked_with(sim) == ["sk-wrong"]
    assert [answer.status_code for answer in answers] == [502, 502]
    assert {answer.json()["code"] for answer in answers} == {"provider_rejected_credentials"}


async def test_a_circuit_opens_and_the_next_provider_answers_without_waiting(tmp_path: Path) -> None:
    with nothing_listens() as nowhere:
        dead = {"type": "openai", "base_url": nowhere, "api_key": "k", "models": ["gpt-4o"]}
        async with OpenAISimulator() as sim, serving(tmp_path, {"dead": dead, "good": row(sim)}) as llm:
            answers = [await llm.post(SURFACES[1], json=asking()) for _ in range(FAILURES)]
            status = (await llm.get("/api/llm/providers")).json()["data"]
    assert {answer.headers["x-synapscale-provider"] for answer in answers} == {"good"}
    assert [answer.headers["x-synapscale-attempts"] for answer in answers] == ["3", "3", "2", "1", "1"]
    assert {answer.headers["x-synapscale-fallback"] for answer in answers} == {"true"}
    dead_now = next(one for one in status if one["name"] == "dead")
    assert dead_now["status"] == "down"
    assert dead_now["targets"][0]["breaker"] == "open"
    assert dead_now["targets"][0]["last_error"]["code"] == "provider_unreachable"
    assert next(one for one in status if one["name"] == "good")["status"] == "ok"


async def test_with_all_circuits_open_the_client_is_told_when_to_come_back(tmp_path: Path) -> None:
    with nothing_listens() as nowhere:
        dead = {"type": "openai", "base_url": nowhere, "api_key": "k", "models": ["gpt-4o"]}
        async with serving(tmp_path, {"dead": dead}) as llm:
            for _ in range(FAILURES):
                answer = await llm.post(SURFACES[1], json=asking())
    assert answer.status_code == 503
    assert answer.json()["code"] == "provider_circuit_open"
    assert answer.json()["detail"].startswith("dead/gpt-4o failed too often")
    assert 1 <= int(answer.headers["retry-after"]) <= 6


async def test_a_clients_mistakes_open_no_circuit(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        sim.faults.extend(Fault("status", status=400) for _ in range(FAILURES * 2))
        refused = [await llm.post(SURFACES[1], json=asking()) for _ in range(FAILURES * 2)]
        good = await llm.post(SURFACES[1], json=asking())
    assert {answer.status_code for answer in refused} == {400}
    assert good.status_code == 200


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("fault", ["cut", "stall", "error-later", "corrupt"])
async def test_an_assured_answer_is_rescued_after_its_first_word(surface: str, fault: str, tmp_path: Path) -> None:
    async with OpenAISimulator() as bad, OpenAISimulator() as good:
        rows = {"bad": row(bad), "good": row(good)}
        async with serving(tmp_path, rows, timeouts={"gap": 0.3}) as llm:
            bad.faults.extend([Fault(fault, after=2)] * 2)  # type: ignore[arg-type] # one of the names
            answer = await llm.post(surface, json=asking(stream=True, routing={"assured": True}))
    assert said(answer.text, surface=surface) == ANSWER
    assert answer.headers["x-synapscale-provider"] == "good"


async def test_what_is_larger_is_asked_when_the_context_overflows(tmp_path: Path) -> None:
    models = {"gpt-4o": {"context_window": 1000}, "gpt-4": {"context_window": 900}, "gpt-4.1": {"context_window": 1001}}
    async with OpenAISimulator() as sim:
        rows = {"openai": row(sim, models=("gpt-4o", "gpt-4", "gpt-4.1"))}
        routes = {"r": ["gpt-4o", "gpt-4", "gpt-4.1"]}
        async with serving(tmp_path, rows, routes=routes, models=models) as llm:
            sim.faults.append(Fault("status", status=400, code="context_length_exceeded"))
            answer = await llm.post(SURFACES[1], json=asking(model="r"))
    assert answer.headers["x-synapscale-model"] == "gpt-4.1"
    assert answer.headers["x-synapscale-attempts"] == "2"


@pytest.mark.parametrize("opted_in", [True, False])
async def test_a_refusal_is_routed_around_only_where_the_route_says_so(opted_in: bool, tmp_path: Path) -> None:
    async with OpenAISimulator() as one, OpenAISimulator() as other:
        rows = {"one": row(one), "other": row(other)}
        routes = {"r": {"chain": ["gpt-4o"], "reroute_refused": opted_in}}
        async with serving(tmp_path, rows, routes=routes) as llm:
            one.faults.append(Fault("status", status=400, code="content_policy_violation"))
            answer = await llm.post(SURFACES[1], json=asking(model="r"))
    assert answer.status_code == (200 if opted_in else 400)


async def test_a_silent_target_leaves_the_next_its_share_of_the_deadline(tmp_path: Path) -> None:
    async with OpenAISimulator() as silent, OpenAISimulator() as good:
        rows = {"silent": row(silent), "good": row(good)}
        async with serving(tmp_path, rows) as llm:
            silent.faults.append(Fault("stall-headers"))
            async with asyncio.timeout(5):
                asked = asking(stream=True, routing={"deadline_ms": 1000})
                answer = await llm.post(SURFACES[1], json=asked)
    assert answer.headers["x-synapscale-provider"] == "good"


async def test_status_needs_the_scope_to_read(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        del llm.headers["authorization"]
        assert (await llm.get("/api/llm/providers")).status_code == 401


@pytest.mark.parametrize(
    ("pings", "size", "provider"),
    [
        (40, 0, "openai"),
        (80, 0, "slow"),
        (1, MOST_HELD_BYTES - 2000, "openai"),  # 2000: what else there is in the stream
        (1, MOST_HELD_BYTES, "slow"),
        (8, MOST_HELD_BYTES // 10, "openai"),
        (8, MOST_HELD_BYTES // 8, "slow"),
    ],
)
async def test_what_is_held_back_before_the_first_word_is_bounded(
    pings: int, size: int, provider: str, tmp_path: Path
) -> None:
    """An attempt that goes on without a word is committed to in the end, and its failure is told then; by the number
    of its events, and by their bytes together."""
    start = {"type": "message_start", "message": message() | {"content": []}}
    ping = {"type": "ping", "padding": "." * size}
    failure = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    async with stubbed(sse(start, *[ping] * pings, failure)) as stub, OpenAISimulator() as good:
        providers = {"slow": stub_row(stub), "openai": row(good)}
        async with serving(tmp_path, providers) as llm:
            asked = asking(model="claude-sonnet-5", fallbacks=["gpt-4o"], stream=True)
            answer = await llm.post(SURFACES[0], json=asked)
    assert answer.headers["x-synapscale-provider"] == provider
    assert ("Overloaded" in answer.text) is (provider == "slow")


async def test_a_whole_answer_that_does_not_come_is_rescued_while_others_wait(tmp_path: Path) -> None:
    """Of an answer in one piece nothing is heard before it is complete; the last target may take its time."""
    async with OpenAISimulator() as silent, OpenAISimulator(pace=0.1) as slow:
        rows = {"silent": row(silent), "slow": row(slow)}
        async with serving(tmp_path, rows, timeouts={"whole": 0.3}) as llm:
            silent.faults.append(Fault("stall-headers"))
            async with asyncio.timeout(10):
                answer = await llm.post(SURFACES[1], json=asking())
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-provider"] == "slow"
    assert answer.headers["x-synapscale-attempts"] == "2"
