"""What goes wrong at a provider, and what the client sees of it."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.llm_service.serving import ANSWER, SURFACES, asking, events, row, said, serving
from tests.simulators.faults import Fault
from tests.simulators.http import nothing_listens
from tests.simulators.openai import OpenAISimulator

SHORT = {"connect": 1, "headers": 0.8, "first_content": 0.8, "gap": 0.8, "total": 5}
BEFORE_THE_FIRST_WORD = [
    Fault("reset"),
    Fault("stall-headers"),
    Fault("stall", after=0),
    Fault("cut", after=0),
    Fault("cut-clean", after=0),
    Fault("cut-reset", after=0),
    Fault("corrupt", after=0),
    Fault("html"),
    Fault("html", status=502),
    Fault("error-first"),
    Fault("status", status=401),
    Fault("status", status=403),
    Fault("status", status=404),
    Fault("status", status=408),
    Fault("status", status=429),
    Fault("status", status=500),
    Fault("status", status=503),
]


def name(fault: Fault) -> str:
    return f"{fault.name}-{fault.status or fault.after}"


@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_WORD, ids=name)
@pytest.mark.parametrize("surface", SURFACES)
async def test_a_failure_before_the_first_word_is_rescued(surface: str, fault: Fault, tmp_path: Path) -> None:
    async with OpenAISimulator() as bad, OpenAISimulator() as good:
        providers = {"bad": row(bad), "good": row(good)}
        async with serving(tmp_path, providers, timeouts=SHORT) as llm:
            bad.faults.extend([fault, fault])  # also for the retry, where there is one
            answer = await llm.post(surface, json=asking(stream=True))
    assert answer.status_code == 200
    assert said(answer.text, surface=surface) == ANSWER
    assert answer.headers["x-synapscale-provider"] == "good"
    assert answer.headers["x-synapscale-fallback"] == "true"
    assert int(answer.headers["x-synapscale-attempts"]) >= 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset"),
        Fault("html"),
        Fault("corrupt"),
        Fault("cut"),
        Fault("status", status=500),
        Fault("html", status=502),
    ],
    ids=name,
)
async def test_a_whole_answer_is_rescued_too(fault: Fault, tmp_path: Path) -> None:
    async with (
        OpenAISimulator() as bad,
        OpenAISimulator() as good,
        serving(tmp_path, {"bad": row(bad), "good": row(good)}, timeouts=SHORT) as llm,
    ):
        bad.faults.extend([fault, fault])
        answer = await llm.post(SURFACES[0], json=asking())
    assert answer.json()["choices"][0]["message"]["content"] == ANSWER
    assert answer.headers["x-synapscale-fallback"] == "true"


@pytest.mark.parametrize("fault", [Fault("status", status=429, code="tokens"), Fault("status", status=413)], ids=name)
async def test_a_request_too_large_for_one_account_goes_to_another_and_rests_no_key(
    fault: Fault, tmp_path: Path
) -> None:
    async with (
        OpenAISimulator() as small,
        OpenAISimulator() as large,
        serving(tmp_path, {"a": row(small), "b": row(large)}) as llm,
    ):
        small.faults.append(fault)
        rescued, next_one = [await llm.post(SURFACES[0], json=asking()) for _ in range(2)]
    told = [(one.headers["x-synapscale-provider"], one.headers["x-synapscale-attempts"]) for one in (rescued, next_one)]
    assert told == [("b", "2"), ("a", "1")]


TOLD = [
    (Fault("reset"), 502, "provider_cut_stream"),
    (Fault("html"), 502, "provider_invalid_answer"),
    (Fault("html", status=502), 502, "provider_error"),
    (Fault("status", status=401), 502, "provider_rejected_credentials"),
    (Fault("html", status=302), 502, "provider_invalid_answer"),
    (Fault("html", status=404), 502, "provider_invalid_answer"),
    (Fault("status", status=429, headers={"retry-after": "7"}), 429, "provider_rate_limited"),
    (Fault("status", status=429, code="tokens"), 400, "provider_request_too_large"),
    (Fault("status", status=500), 502, "provider_error"),
    (Fault("status", status=400), 400, "provider_rejected_request"),
    (Fault("status", status=400, code="context_length_exceeded"), 400, "context_length_exceeded"),
]
TOLD_WHERE_STREAMED = [
    *TOLD,
    (Fault("stall-headers"), 504, "provider_timeout"),
    (Fault("cut-clean", after=0), 502, "provider_cut_stream"),
]
CASES = [(*case, True) for case in TOLD_WHERE_STREAMED] + [(*case, False) for case in TOLD]


@pytest.mark.parametrize(("fault", "status", "code", "stream"), CASES)
@pytest.mark.parametrize("surface", SURFACES)
async def test_the_last_failure_is_told_clearly(
    surface: str, fault: Fault, status: int, code: str, stream: bool, tmp_path: Path
) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, timeouts=SHORT) as llm:
        sim.faults.extend([fault, fault])
        answer = await llm.post(surface, json=asking(stream=stream))
    assert answer.status_code == status
    body: Any = answer.json()
    problem = body["error"] if surface.startswith("/v1/") else body
    assert problem["code"] == code
    assert "Traceback" not in answer.text
    attempts = problem["attempts"]
    assert [attempt["provider"] for attempt in attempts] == ["openai"] * len(attempts)
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_that_its_provider_does_not_have_is_answered_with_those_that_exist(
    stream: bool, tmp_path: Path
) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        answer = await llm.post(SURFACES[1], json=asking(model="openai/fault-404", stream=stream))
    assert answer.status_code == 404
    assert answer.json()["code"] == "model_not_found"
    assert "gpt-4o" in answer.json()["models"]


async def test_refused_connections_are_tried_once_more_then_elsewhere_then_told(tmp_path: Path) -> None:
    with nothing_listens() as nowhere:
        dead = {"type": "openai", "base_url": nowhere, "api_key": "k", "models": ["gpt-4o"]}
        async with serving(tmp_path, {"dead": dead, "deader": dead}, timeouts=SHORT) as llm:
            answer = await llm.post(SURFACES[1], json=asking())
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    problem = answer.json()
    assert problem["code"] == "provider_unreachable"
    assert [attempt["provider"] for attempt in problem["attempts"]] == ["dead", "dead", "deader", "deader"]


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=401), Fault("status", status=429), Fault("html"), Fault("html", status=502)],
    ids=name,
)
async def test_what_a_provider_says_of_the_operators_account_is_not_passed_on(fault: Fault, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        sim.faults.extend([fault, fault])
        answer = await llm.post(SURFACES[1], json=asking())
    assert answer.status_code in (429, 502)
    for told in ("sk-", "org-", "<html", "<!DOCTYPE"):
        assert told not in answer.text


@pytest.mark.parametrize("status", [400, 422])
async def test_a_request_that_the_provider_refuses_is_not_tried_elsewhere(status: int, tmp_path: Path) -> None:
    async with OpenAISimulator() as first, OpenAISimulator() as second:
        async with serving(tmp_path, {"first": row(first), "second": row(second)}) as llm:
            first.faults.append(Fault("status", status=status))
            answer = await llm.post(SURFACES[1], json=asking())
        assert answer.status_code == 400
        assert not [request for request in second.requests if request.method == "POST"]


async def test_a_silent_provider_is_not_asked_twice(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, timeouts=SHORT) as llm:
        answer = await llm.post(SURFACES[1], json=asking(model="openai/fault-stall-headers", stream=True))
        assert answer.status_code == 504
        assert len([request for request in sim.requests if request.method == "POST"]) == 1


async def test_a_failing_server_is_asked_once_more(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        sim.faults.append(Fault("status", status=500))
        answer = await llm.post(SURFACES[1], json=asking())
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-attempts"] == "2"
    assert answer.headers["x-synapscale-fallback"] == "false"


AFTER_THE_FIRST_WORD = ["cut", "cut-clean", "cut-reset", "cut-in-frame", "corrupt", "error-later", "stall"]


@pytest.mark.parametrize("fault", AFTER_THE_FIRST_WORD)
@pytest.mark.parametrize("surface", SURFACES)
async def test_a_failure_after_the_first_word_is_told_in_the_stream_and_nothing_is_said_twice(
    surface: str, fault: str, tmp_path: Path
) -> None:
    async with OpenAISimulator() as bad, OpenAISimulator() as good:
        async with serving(tmp_path, {"bad": row(bad), "good": row(good)}, timeouts=SHORT) as llm:
            answer = await llm.post(surface, json=asking(model=f"bad/fault-{fault}", stream=True))
        assert not [request for request in good.requests if request.method == "POST"]
    assert answer.status_code == 200
    if surface.startswith("/v1/"):
        assert "[DONE]" not in answer.text
        assert '"error":{"message"' in answer.text.rstrip().rsplit("\n", 1)[-1]
    else:
        *begun, last = events(answer.text)
        assert last["type"] == "error"
        assert last["code"].startswith("provider_")
        assert "".join(event["content"] for event in begun) == "A capital"


async def test_fallbacks_of_the_request_are_tried_in_their_order(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        rows = {"openai": row(sim, models=("gpt-4o", "gpt-4", "gpt-4.1"))}
        async with serving(tmp_path, rows) as llm:
            body = asking(model="openai/fault-404", fallbacks=["openai/fault-403", "gpt-4.1", "gpt-4"])
            answer = await llm.post(SURFACES[1], json=body)
        sent = [request.body["model"] for request in sim.requests if request.method == "POST"]
    assert answer.headers["x-synapscale-model"] == "gpt-4.1"
    assert sent == ["fault-404", "fault-403", "gpt-4.1"]


async def test_an_empty_list_of_fallbacks_switches_fallback_off(tmp_path: Path) -> None:
    async with (
        OpenAISimulator() as bad,
        OpenAISimulator() as good,
        serving(tmp_path, {"bad": row(bad), "good": row(good)}) as llm,
    ):
        bad.faults.append(Fault("status", status=401))
        answer = await llm.post(SURFACES[1], json=asking(fallbacks=[]))
    assert answer.status_code == 502


async def test_a_route_is_a_chain(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim:
        rows = {"openai": row(sim, models=("gpt-4o", "gpt-4"))}
        routes = {"clever": ["openai/fault-403", "missing/model", "gpt-4"]}
        async with serving(tmp_path, rows, routes=routes) as llm:
            answer = await llm.post(SURFACES[1], json=asking(model="clever"))
    assert answer.headers["x-synapscale-model"] == "gpt-4"
    assert answer.headers["x-synapscale-fallback"] == "true"


async def test_a_client_cannot_lengthen_the_deadline(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, timeouts={"total": 0.3}) as llm:
        sim.hold(after=0)
        answer = await llm.post(SURFACES[1], json=asking(routing={"deadline_ms": 86_400_000}))
    assert answer.status_code == 504


async def test_one_deadline_bounds_all_attempts(tmp_path: Path) -> None:
    async with (
        OpenAISimulator() as one,
        OpenAISimulator() as two,
        serving(tmp_path, {"one": row(one), "two": row(two)}) as llm,
    ):
        one.hold(after=0)
        two.hold(after=0)
        started = time.monotonic()
        answer = await llm.post(SURFACES[1], json=asking(stream=True, routing={"deadline_ms": 300}))
        took = time.monotonic() - started
    assert answer.status_code == 504
    assert 0.25 < took < 3
