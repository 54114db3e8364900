"""Every scenario, through every door, over every provider, streamed and whole: what the client is told."""

import pytest

from tests.llm_service.contract.providers import PROVIDERS, Vendor, World, carries
from tests.llm_service.contract.scenarios import SCENARIOS, Scenario
from tests.llm_service.contract.surfaces import SURFACES, Counted, Heard, Surface
from tests.simulators.answers import Usage


def expected(scenario: Scenario, provider: Vendor) -> Heard:
    return Heard(
        text=scenario.sees,
        thoughts=scenario.thoughts if provider.tells_thoughts else "",
        calls=scenario.calls,
    )


def counted(usage: Usage, provider: Vendor) -> Counted:
    """As far as the provider tells kinds of tokens apart."""
    return Counted(
        input=usage.input,
        output=usage.output,
        cached=usage.cached if "cached" in provider.counts else 0,
        written=usage.cache_written if "written" in provider.counts else 0,
        reasoning=usage.reasoning if "reasoning" in provider.counts else 0,
    )


async def heard(world: World, scenario: Scenario, provider: Vendor, surface: Surface, *, stream: bool) -> Heard:
    world.of(provider).will_answer(scenario.says)
    body = surface.body(scenario.model(provider), scenario.asked(surface), stream=stream)
    answer = await world.llm.post(surface.path, json=body)
    told = surface.hear(answer, stream=stream)
    assert answer.headers["x-synapscale-provider"] == provider.name
    assert answer.headers["x-synapscale-model"] == scenario.model(provider).partition("/")[2]
    assert answer.headers["x-synapscale-attempts"] == "1"
    assert answer.headers["x-synapscale-fallback"] == "false"
    assert "x-synapscale-dropped" not in answer.headers
    return told


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_the_client_is_told_what_the_provider_said(
    all_providers: World, provider: Vendor, surface: Surface, scenario: Scenario, stream: bool
) -> None:
    told = await heard(all_providers, scenario, provider, surface, stream=stream)
    wanted = expected(scenario, provider)
    assert (told.text, told.thoughts, told.calls) == (wanted.text, wanted.thoughts, wanted.calls)
    assert told.finish == surface.finish(scenario.finish, stream=stream)
    assert len(set(told.call_ids)) == len(scenario.calls)
    if scenario.says.usage:
        assert told.usage == counted(scenario.says.usage, provider)
    (sent,) = all_providers.sent(provider)
    for wanted_there in scenario.carries:
        assert carries(sent, wanted_there)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_a_stream_collected_is_the_whole_answer(
    all_providers: World, provider: Vendor, surface: Surface, scenario: Scenario
) -> None:
    whole = await heard(all_providers, scenario, provider, surface, stream=False)
    streamed = await heard(all_providers, scenario, provider, surface, stream=True)
    assert surface.finish(scenario.finish, stream=False) == whole.finish
    assert streamed.usage == whole.usage
    assert (streamed.text, streamed.thoughts, streamed.calls) == (whole.text, whole.thoughts, whole.calls)
    if not surface.native:
        assert streamed.finish == whole.finish
        assert kept(streamed) == kept(whole)


def kept(heard: Heard) -> object:
    """What goes into the history, but for the ids of calls, which differ from answer to answer."""
    return _without_ids(heard.message)


def _without_ids(value: object) -> object:
    match value:
        case dict():
            return {name: _without_ids(inner) for name, inner in value.items() if name != "id"}
        case list():
            return [_without_ids(inner) for inner in value]
        case _:
            return value
