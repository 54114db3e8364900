"""What clients and the ledger are told of usage that no provider counted: the same, and that it is an estimate."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.chat_service.api import eventually
from tests.llm_service.accounts.books import limited, windows
from tests.llm_service.accounts.test_ledger import cost_of, settled
from tests.llm_service.serving import SURFACES, Json, asking, events, openai_chunks, row, serving
from tests.simulators.anthropic import AnthropicSimulator
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator

MESSAGES = "/v1/messages"
CLAUDE = "claude-sonnet-4-5"


def tokens_of(usage: Json) -> tuple[int, int]:
    if "prompt_tokens" in usage:
        return usage["prompt_tokens"], usage["completion_tokens"]
    return usage["input_tokens"], usage["output_tokens"]


async def usage_told(llm: Any, path: str, *, model: str, stream: bool) -> Json:
    answer = await llm.post(path, json=asking(model=model, stream=stream, max_tokens=500, **_options(path, stream)))
    assert answer.status_code == 200, answer.text
    if not stream:
        return answer.json()["usage"]  # type: ignore[no-any-return] # JSON
    if path == MESSAGES:
        lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if '"message_delta"' in line]
        return json.loads(lines[-1])["usage"]  # type: ignore[no-any-return] # JSON
    told = openai_chunks(answer.text)[-1] if path.startswith("/v1/") else events(answer.text)[-1]
    return told["usage"]  # type: ignore[no-any-return] # JSON


def _options(path: str, stream: bool) -> Json:
    return {"stream_options": {"include_usage": True}} if stream and path == SURFACES[0] else {}


@pytest.mark.parametrize(("path", "stream"), [(MESSAGES, True), (MESSAGES, False), (SURFACES[1], True)])
async def test_an_estimate_of_openai_s_usage_is_told_as_the_ledger_has_it(
    path: str, stream: bool, database_url: str, tmp_path: Path
) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        sim.faults.append(Fault("no-usage"))
        usage = await usage_told(llm, path, model="gpt-4o", stream=stream)
        (one,) = await settled(database_url)
    assert usage["estimated"] is True
    assert one["estimated"]
    assert tokens_of(usage) == (one["input_tokens"], one["output_tokens"])
    assert min(tokens_of(usage)) > 0
    assert one["cost_usd"] == cost_of(one)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_estimate_of_anthropic_s_usage_is_told_as_the_ledger_has_it(
    stream: bool, database_url: str, tmp_path: Path
) -> None:
    async with AnthropicSimulator() as sim:
        claude = {"type": "anthropic", "base_url": sim.base_url, "api_key": sim.api_key, "models": [CLAUDE]}
        async with serving(tmp_path, {"anthropic": claude}, database_url=database_url) as llm:
            sim.faults.append(Fault("no-usage"))
            usage = await usage_told(llm, SURFACES[0], model=CLAUDE, stream=stream)
            (one,) = await settled(database_url)
    assert usage["estimated"] is True
    assert tokens_of(usage) == (one["input_tokens"], one["output_tokens"])
    assert min(tokens_of(usage)) > 0


async def test_counted_usage_is_not_marked(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        assert "estimated" not in await usage_told(llm, MESSAGES, model="gpt-4o", stream=True)


async def test_a_relayed_stream_without_usage_ends_once_and_is_charged_by_the_estimate(
    database_url: str, tmp_path: Path
) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        sim.faults.append(Fault("no-usage"))
        answer = await llm.post(SURFACES[0], json=asking(stream=True))
        (one,) = await settled(database_url)
    assert answer.text.count("[DONE]") == 1
    assert one["estimated"]
    assert one["output_tokens"] > 0


async def test_a_whole_answer_that_is_left_after_it_was_asked_for_costs_its_input(
    database_url: str, tmp_path: Path
) -> None:
    """The provider has read the request, and may charge for it; the reservation is settled by the same sum."""
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        sim.faults.append(Fault("stall-headers"))
        key = limited(tokens_per_minute=100_000)

        async def asked() -> bool:
            return any(request.path.endswith("completions") for request in sim.requests)

        leaving = asyncio.create_task(llm.post(SURFACES[0], json=asking(), headers=key))
        await eventually(asked, what="the provider has the request")
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        (one,) = await settled(database_url)
    assert (one["result"], one["estimated"], one["output_tokens"]) == ("cancelled", True, 0)
    assert one["cost_usd"] == cost_of(one) > 0
    assert (await windows(database_url))["tokens_per_minute"] == (one["input_tokens"], 0)
