"""What Prometheus reads of llm-service, and who may."""

from pathlib import Path
from typing import Any

import pytest

from tests.llm_service.serving import SURFACES, asking, listening, row
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator

GPT = 'gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'
OTHER = 'gen_ai_provider_name="other",gen_ai_request_model="other"'
LISTED = "gpt-4.1-nano"
"""The simulator lists it, and the file does not name it."""


async def test_requests_attempts_tokens_and_cost_are_counted_by_configured_target(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, listening(tmp_path, {"openai": row(sim)}) as llm:
        sim.faults.append(Fault("status", status=500))
        answer = await llm.post(SURFACES[0], json=asking())
        await llm.post(SURFACES[0], json=asking(stream=True, cache={"ttl": 60}))
        await llm.post(SURFACES[0], json=asking(stream=True, cache={"ttl": 60}))
        await llm.post(SURFACES[0], json=asking(model=LISTED))
        for number in range(3):
            await llm.post(SURFACES[0], json=asking(model=f"openai/invented-{number}"))
        told = (await llm.get("/metrics")).text
    usage = answer.json()["usage"]
    lines = told.splitlines()
    for line in (
        f'synapscale_llm_requests_total{{{GPT},result="completed"}} 3.0',
        f'synapscale_llm_attempts_total{{error_type="",{GPT},result="completed"}} 2.0',
        f'synapscale_llm_attempts_total{{error_type="provider_error",{GPT},result="failed"}} 1.0',
        f"gen_ai_client_operation_duration_seconds_count{{{GPT}}} 3.0",
        f"gen_ai_server_time_to_first_token_seconds_count{{{GPT}}} 2.0",
        f'gen_ai_client_token_usage_count{{{GPT},gen_ai_token_type="input"}} 2.0',
        f'synapscale_llm_tokens_total{{{GPT},kind="input"}} {2.0 * usage["prompt_tokens"]}',
        f"synapscale_llm_breaker_state{{{GPT}}} 0.0",
        "synapscale_llm_cache_hits_total 1.0",
        "synapscale_llm_ledger_lost_total 0.0",
        f'synapscale_llm_requests_total{{{OTHER},result="completed"}} 1.0',
    ):
        assert line in lines, line
    cost = next(line for line in lines if line.startswith(f"synapscale_llm_cost_usd_total{{{GPT}}}"))
    assert float(cost.split()[-1]) == pytest.approx(2 * float(answer.headers["x-synapscale-cost-usd"]))
    assert "invented" not in told
    assert LISTED not in told


async def test_what_waits_for_the_database_shows(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, listening(tmp_path, {"openai": row(sim)}) as llm:
        await llm.post(SURFACES[0], json=asking())
        told = (await llm.get("/metrics")).text
    values = dict(line.split() for line in told.splitlines() if line.startswith("synapscale_llm_ledger_"))
    assert float(values["synapscale_llm_ledger_queue"]) + float(values["synapscale_llm_ledger_spilled"]) == 1


@pytest.mark.parametrize("headers", [{"x-forwarded-for": "127.0.0.1"}, {"via": "1.1 proxy"}])
async def test_metrics_are_for_direct_connections_and_in_no_document(headers: dict[str, Any], tmp_path: Path) -> None:
    async with listening(tmp_path, {"local": {"type": "echo", "models": ["m"]}}) as llm:
        hidden = await llm.get("/metrics", headers=headers)
        document = await llm.get("/openapi.json")
    assert hidden.status_code == 404
    assert "synapscale_llm" not in hidden.text
    assert "/metrics" not in document.text
