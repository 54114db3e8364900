"""Why an answer ended, in the words of each door; answers that were withheld, and usage that was not told."""

from pathlib import Path

import pytest

from tests.llm_service.contract.providers import PROVIDERS, Vendor, World, world
from tests.llm_service.contract.scenarios import ASKED, OPENAI_TOOLS, Json, user
from tests.llm_service.contract.surfaces import ANTHROPIC, NATIVE, NATIVE_MESSAGES, OPENAI, SURFACES, Surface
from tests.llm_service.serving import events
from tests.simulators.answers import says

COMMON = ("stop", "length", "tool_calls", "content_filter", "refusal")
ENDS = [
    (provider, reason)
    for provider in PROVIDERS
    for reason in (*COMMON, *provider.native_finishes)
    if reason not in provider.fails
]
FAILURES = [(provider, reason) for provider in PROVIDERS for reason in provider.fails]


def reason_told(provider: Vendor, reason: str) -> str:
    return provider.finishes.get(reason, reason)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize(("provider", "reason"), ENDS, ids=str)
async def test_the_end_is_told_in_the_words_of_the_door(
    all_providers: World, provider: Vendor, reason: str, surface: Surface, stream: bool
) -> None:
    calls: list[tuple[str, Json]] = [("now", {})] if reason == "tool_calls" else []
    all_providers.of(provider).will_answer(says("It is so.", calls=calls, finish=reason))
    body = surface.body(f"{provider.name}/{provider.model}", ASKED, stream=stream)
    told = surface.hear(await all_providers.llm.post(surface.path, json=body), stream=stream)
    assert told.text.startswith("It is so.")
    assert told.finish == ending(provider, reason, surface, stream=stream)


def ending(provider: Vendor, reason: str, surface: Surface, *, stream: bool) -> str:
    """A protocol's own word reaches its own clients; OpenAI's refusals are Anthropic's `refusal`."""
    wanted = reason_told(provider, reason)
    if surface.dialect == "anthropic" and not (surface.native and stream):
        if provider.type == "anthropic" and reason in provider.native_finishes:
            return reason
        if reason == "refusal" and provider.type in ("openai", "openai_compatible"):
            return "refusal"
    return surface.finish(wanted, stream=stream)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize(("provider", "reason"), FAILURES, ids=str)
async def test_an_end_that_is_a_failure_is_told_as_one(
    provider: Vendor, reason: str, surface: Surface, stream: bool, tmp_path: Path
) -> None:
    """Before the first word as a status, after it as the last event of the stream."""
    status, code = provider.fails[reason]
    begun = stream and not reason.startswith("blocked:")
    async with world(tmp_path, provider) as running:
        running.of(provider).will_answer(*[says("It is" if begun else "", finish=reason)] * 2)
        body = surface.body(f"{provider.name}/{provider.model}", ASKED, stream=stream)
        answer = await running.llm.post(surface.path, json=body)
    if begun:
        assert answer.status_code == 200
        assert surface.broken(answer.text)["code"] == code
    else:
        assert answer.status_code == status, answer.text
        assert surface.mistake(answer)["code"] == code


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_a_stop_sequence_that_was_reached_ends_the_answer(
    all_providers: World, provider: Vendor, surface: Surface, stream: bool
) -> None:
    stops: Json = {"stop": ["END"]} if surface.dialect == "openai" else {"stop_sequences": ["END"]}
    body = surface.body(
        f"{provider.name}/{provider.model}", {"messages": [user("One END two")], **stops}, stream=stream
    )
    told = surface.hear(await all_providers.llm.post(surface.path, json=body), stream=stream)
    assert told.text.strip() == "One"
    knows = provider.type == "anthropic" and surface.dialect == "anthropic" and not (surface.native and stream)
    assert told.finish == ("stop_sequence" if knows else surface.finish("stop", stream=stream))


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_a_limit_ends_the_answer(all_providers: World, provider: Vendor, surface: Surface, stream: bool) -> None:
    limit: Json = {"max_completion_tokens": 3} if surface.dialect == "openai" else {"max_tokens": 3}
    asked = {"messages": [user("Count to 9")], **limit}
    body = surface.body(f"{provider.name}/{provider.model}", asked, stream=stream)
    told = surface.hear(await all_providers.llm.post(surface.path, json=body), stream=stream)
    assert told.text == "1 2 3"
    assert told.finish == surface.finish("length", stream=stream)


@pytest.mark.parametrize("surface", [NATIVE, NATIVE_MESSAGES], ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_usage_that_is_not_told_is_estimated_and_marked_in_our_own_stream(
    all_providers: World, provider: Vendor, surface: Surface
) -> None:
    all_providers.of(provider).will_answer(says("It is as it is."))
    all_providers.of(provider).will_fail("no-usage")
    body = surface.body(f"{provider.name}/{provider.model}", ASKED, stream=True)
    usage = events((await all_providers.llm.post(surface.path, json=body)).text)[-1]["usage"]
    assert usage["estimated"] is True
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("surface", [OPENAI, ANTHROPIC], ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_an_answer_without_usage_is_an_answer_all_the_same(
    all_providers: World, provider: Vendor, surface: Surface, stream: bool
) -> None:
    all_providers.of(provider).will_answer(says("It is as it is."))
    all_providers.of(provider).will_fail("no-usage")
    body = surface.body(f"{provider.name}/{provider.model}", ASKED, stream=stream)
    told = surface.hear(await all_providers.llm.post(surface.path, json=body), stream=stream)
    assert told.text == "It is as it is."


@pytest.mark.parametrize("surface", [OPENAI, NATIVE], ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_calls_that_a_limit_cut_short_do_not_break_the_answer(
    all_providers: World, provider: Vendor, surface: Surface
) -> None:
    asked = {"messages": [user('call add {"a": 1, "b": 2}')], "tools": OPENAI_TOOLS, "max_completion_tokens": 4}
    for stream in (True, False):
        body = surface.body(f"{provider.name}/{provider.model}", asked, stream=stream)
        answer = await all_providers.llm.post(surface.path, json=body)
        assert answer.status_code == 200
        assert '"finish_reason":"length"' in answer.text.replace('": "', '":"')
