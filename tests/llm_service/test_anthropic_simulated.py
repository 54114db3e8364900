"""Conversations of several turns with Anthropic, which takes back no thought that it has not signed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.llm_service.serving import SURFACES, asking, openai_chunks, serving
from tests.simulators.anthropic import AnthropicSimulator

Json = dict[str, Any]
TOOLS = [{"type": "function", "function": {"name": "see", "parameters": {"type": "object"}}}]
CALLING = 'call see {"a": 1}\ncall see {"b": [2]}'
MODEL = "claude-sonnet-5"


def simulated(sim: AnthropicSimulator, *models: str) -> Json:
    row = {"type": "anthropic", "base_url": sim.base_url, "api_key": sim.api_key, "models": list(models or (MODEL,))}
    return {"anthropic": row}


async def said_by(llm: httpx2.AsyncClient, body: Mapping[str, Any], *, stream: bool) -> Json:
    """The assistant's message of an OpenAI client, put together from a stream where it is one."""
    answer = await llm.post(SURFACES[0], json={**body, "stream": stream})
    assert answer.status_code == 200, answer.text
    if not stream:
        whole: Json = answer.json()["choices"][0]["message"]
        return {name: value for name, value in whole.items() if value}
    message: Json = {"role": "assistant", "content": ""}
    calls: dict[int, Json] = {}
    details: list[Json] = []
    for chunk in openai_chunks(answer.text):
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            details += delta.get("reasoning_details") or []
            for piece in delta.get("tool_calls") or []:
                kept = calls.setdefault(piece["index"], {"function": {"arguments": ""}})
                kept["function"]["arguments"] += piece["function"].get("arguments") or ""
                kept["function"] |= {name: v for name, v in piece["function"].items() if name != "arguments"}
                kept |= {name: value for name, value in piece.items() if name in ("id", "type")}
    message |= {"tool_calls": list(calls.values())} if calls else {}
    return message | ({"reasoning_details": details} if details else {})


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", [MODEL, "claude-haiku-4-5"])
async def test_thoughts_and_their_signatures_survive_tools_through_an_openai_client(
    model: str, stream: bool, tmp_path: Path
) -> None:
    async with AnthropicSimulator() as sim, serving(tmp_path, simulated(sim, model)) as llm:
        body = asking(CALLING, model=model, tools=TOOLS, reasoning_effort="high")
        message = await said_by(llm, body, stream=stream)
        calls = message["tool_calls"]
        assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"a": 1}, {"b": [2]}]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": f"cat {n}"} for n, call in enumerate(calls)]
        second = await said_by(llm, {**body, "messages": [*body["messages"], message, *results]}, stream=stream)
        sent = [request.body for request in sim.requests if request.method == "POST"][-1]
    assert second["content"] == "cat 0\ncat 1"
    thought, *used = sent["messages"][1]["content"]
    assert thought["type"] == "thinking"
    assert thought["thinking"]
    assert thought["signature"] in (sim.signatures or ())
    assert [block["type"] for block in used] == ["tool_use", "tool_use"]
    assert [block["type"] for block in sent["messages"][2]["content"]] == ["tool_result", "tool_result"]


async def test_an_anthropic_client_goes_on_after_others_have_answered(tmp_path: Path) -> None:
    """Thoughts of another provider are in its history; Anthropic, which would refuse them, never sees them."""
    foreign = [
        {"type": "thinking", "thinking": "Hm.", "signature": "synapscale.gemini.abc"},
        {"type": "thinking", "thinking": "Hm?", "signature": ""},
        {"type": "text", "text": "Hello."},
    ]
    history = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": foreign},
        {"role": "user", "content": "How many messages?"},
    ]
    async with AnthropicSimulator() as sim, serving(tmp_path, simulated(sim)) as llm:
        answer = await llm.post("/v1/messages", json={"model": MODEL, "max_tokens": 99, "messages": history})
    assert answer.json()["content"][0]["text"] == "3"
    (sent,) = [request.body for request in sim.requests if request.method == "POST"]
    assert sent["messages"][1]["content"] == [foreign[2]]


async def test_a_list_of_several_pages_and_a_count_are_asked_by_the_sdk(tmp_path: Path) -> None:
    async with AnthropicSimulator() as sim, serving(tmp_path, simulated(sim)) as llm:
        ids = [model["id"] for model in (await llm.get("/v1/models")).json()["data"]]
        body = {"model": MODEL, "messages": [{"role": "user", "content": "One two three."}]}
        counted = await llm.post("/v1/messages/count_tokens", json=body)
    assert "claude-opus-5" in ids
    assert counted.json()["input_tokens"] > 0
    assert counted.headers["x-synapscale-estimated"] == "false"
