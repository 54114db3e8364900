"""No answer is longer than what was reserved for it: what each provider is asked for, and what is kept of it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.llm_service.accounts.books import budget, limited, requests, windows
from tests.llm_service.contract.providers import PROVIDERS, Vendor, world
from tests.llm_service.serving import SURFACES, asking, row, serving
from tests.simulators.openai import OpenAISimulator

CHAT, EMBEDDINGS = SURFACES[0], "/v1/embeddings"
LONGEST_UNKNOWN = 16_384
"""Tokens that are reserved for an answer of a model of which nobody knows how long its answers get."""
KEPT: dict[str, Any] = {"cache": {"ttl": 60}}


def limit_in(body: dict[str, Any]) -> int | None:
    """Of output tokens, in whichever provider's words."""
    generation = body.get("generationConfig", {})
    found = [body.get("max_completion_tokens"), body.get("max_tokens"), generation.get("maxOutputTokens")]
    told: list[int] = [one for one in found if one is not None]
    assert len(told) <= 1
    return told[0] if told else None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", PROVIDERS, ids=lambda vendor: vendor.name)
async def test_each_provider_gets_the_lowered_limit_in_its_own_words_and_keeps_it(
    vendor: Vendor, stream: bool, database_url: str, tmp_path: Path
) -> None:
    async with world(tmp_path, vendor, database_url=database_url) as given:
        asked = asking("Count to 3000", model=vendor.model, stream=stream)
        answer = await given.llm.post(CHAT, json=asked, headers=limited(tokens_per_minute=2000))
        (sent,) = given.sent(vendor)
    assert answer.status_code == 200, answer.text
    told = int(answer.headers["x-synapscale-max-output-tokens"])
    assert 1900 < told < 2000
    assert limit_in(sent) == told
    (one,) = await requests(database_url)
    assert (one["output_tokens"], one["estimated"]) == (told, False)
    assert (await windows(database_url))["tokens_per_minute"][0] <= 2000


async def test_what_anthropic_lists_is_no_longer_than_what_is_reserved(database_url: str, tmp_path: Path) -> None:
    """Anthropic lists 64,000 tokens, the operator has said 2,000: 0.03 USD."""
    (vendor,) = [one for one in PROVIDERS if one.name == "anthropic"]
    model = "claude-sonnet-4-5-20250929"  # as it is listed
    models = {model: {"max_output_tokens": 2000}}
    async with world(tmp_path, vendor, models=models, database_url=database_url) as given:
        listed = (await given.llm.get("/v1/models")).json()["data"]
        assert model in [one["id"] for one in listed]
        key = limited(budget=budget("0.031"))
        answer = await given.llm.post(CHAT, json=asking("Count to 3000", model=model), headers=key)
        (sent,) = given.sent(vendor)
    assert (answer.status_code, sent["max_tokens"]) == (200, 2000)
    assert (await windows(database_url))["budget:month"][0] <= Decimal("0.031")


@pytest.mark.parametrize("policy", [{"budget": budget("0.033")}, {"tokens_per_minute": 17_000}])
async def test_a_model_of_unknown_length_says_no_more_than_is_reserved_for_it(
    policy: dict[str, Any], database_url: str, tmp_path: Path
) -> None:
    """Of 20,000 tokens at 2 USD per million."""
    models = {"gpt-4o": {"prices": {"input": "1", "output": "2"}}}
    async with OpenAISimulator() as sim:
        providers = {"mine": row(sim, type="openai_compatible")}
        async with serving(tmp_path, providers, models=models, database_url=database_url) as llm:
            answer = await llm.post(CHAT, json=asking("Count to 20000"), headers=limited(**policy))
            (sent,) = [one.body for one in sim.requests if one.method == "POST"]
    assert answer.json()["usage"]["completion_tokens"] == sent["max_tokens"] == LONGEST_UNKNOWN
    assert answer.headers["x-synapscale-max-output-tokens"] == str(LONGEST_UNKNOWN)
    ((spent, _),) = (await windows(database_url)).values()
    assert spent <= Decimal(policy.get("budget", {}).get("usd", 17_000))


async def test_nobody_else_s_answers_are_bounded(database_url: str, tmp_path: Path) -> None:
    """A model that is known to say no more than what is reserved, a limit of the client's own, a key that counts no
    tokens, and a caller without limits."""
    async with OpenAISimulator() as sim:
        providers = {"openai": row(sim), "mine": row(sim, type="openai_compatible", models=("gpt-4-turbo",))}
        async with serving(tmp_path, providers, database_url=database_url) as llm:
            counted, slots = limited(tokens_per_minute=100_000), limited(concurrent_requests=1)
            await llm.post(CHAT, json=asking(), headers=counted)
            await llm.post(CHAT, json=asking(model="gpt-4-turbo", max_tokens=20_000), headers=counted)
            await llm.post(CHAT, json=asking(model="gpt-4-turbo"), headers=slots)
            await llm.post(CHAT, json=asking(model="gpt-4-turbo"))
            sent = [limit_in(one.body) for one in sim.requests if one.method == "POST"]
    assert sent == [None, 20_000, None, None]


async def test_each_of_several_targets_is_held_to_what_is_reserved_for_it(database_url: str, tmp_path: Path) -> None:
    """Of 40,000 tokens, of which one of unknown length has no use for more than it would have reserved."""
    models = {"gpt-4o": {"max_output_tokens": 60_000}}
    async with OpenAISimulator() as sim, OpenAISimulator() as other:
        providers = {"openai": row(sim), "mine": row(other, type="openai_compatible", models=("gpt-4-turbo",))}
        async with serving(tmp_path, providers, models=models, database_url=database_url) as llm:
            await sim.refuse()
            asked = asking(fallbacks=["gpt-4-turbo"])
            answer = await llm.post(CHAT, json=asked, headers=limited(tokens_per_minute=40_000))
            (sent,) = [limit_in(one.body) for one in other.requests if one.method == "POST"]
    assert (answer.status_code, sent) == (200, LONGEST_UNKNOWN)


async def test_a_lowered_answer_is_kept_for_nobody_and_a_kept_one_is_given_to_everybody(
    database_url: str, tmp_path: Path
) -> None:
    key = limited(tokens_per_minute=2000)
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, database_url=database_url) as llm:
        lowered = await llm.post(CHAT, json=asking(**KEPT), headers=key)
        whole = await llm.post(CHAT, json=asking(**KEPT))
        given = await llm.post(CHAT, json=asking(**KEPT), headers=key)
        sent = [limit_in(one.body) for one in sim.requests if one.method == "POST"]
    assert [one.headers.get("x-synapscale-cache") for one in (lowered, whole, given)] == [None, "miss", "hit"]
    assert sent == [int(lowered.headers["x-synapscale-max-output-tokens"]), None]
    assert given.content == whole.content


@pytest.mark.parametrize(("count", "kept"), [(20, "hit"), (17_000, "miss")])
async def test_of_a_model_of_unknown_length_whole_answers_are_kept_and_cut_ones_are_not(
    count: int, kept: str, database_url: str, tmp_path: Path
) -> None:
    asked = asking(f"Count to {count}", **KEPT)
    async with OpenAISimulator() as sim:
        providers = {"mine": row(sim, type="openai_compatible")}
        async with serving(tmp_path, providers, database_url=database_url) as llm:
            await llm.post(CHAT, json=asked, headers=limited(tokens_per_minute=100_000))
            answer = await llm.post(CHAT, json=asked)
    assert answer.headers["x-synapscale-cache"] == kept
    assert answer.json()["usage"]["completion_tokens"] == count
    assert answer.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("inputs", ["ação " * 2500, [7] * 5001], ids=["text", "tokens"])
@pytest.mark.parametrize("policy", [{"budget": budget("0.0001")}, {"tokens_per_minute": 5000}])
async def test_embeddings_larger_than_a_whole_limit_are_refused_as_nothing_to_repeat(
    policy: dict[str, Any], inputs: Any, database_url: str, tmp_path: Path
) -> None:
    """At 0.02 USD per million tokens, 5,000 cost 0.0001 USD. The number of a token may be shorter than a text's."""
    model, key = "text-embedding-3-small", limited(**policy)
    async with OpenAISimulator() as sim:
        async with serving(tmp_path, {"openai": row(sim, models=(model,))}, database_url=database_url) as llm:
            refused = await llm.post(EMBEDDINGS, json={"model": model, "input": inputs}, headers=key)
            fits = await llm.post(EMBEDDINGS, json={"model": model, "input": inputs[:1000]}, headers=key)
        assert len([one for one in sim.requests if one.method == "POST"]) == 1
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "request_exceeds_limit")
    assert "retry-after" not in refused.headers
    assert fits.status_code == 200
