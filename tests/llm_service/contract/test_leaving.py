"""A client that leaves: its provider's connection is closed at once, before the first byte and in the middle."""

import asyncio
import itertools
import time

import pytest

from tests.llm_service.contract.providers import PROVIDERS, Vendor, World
from tests.llm_service.contract.scenarios import user
from tests.llm_service.contract.surfaces import SURFACES, Surface
from tests.simulators.connection import RecordedRequest
from tests.simulators.provider import Provider

AT_ONCE = 0.1
"""Seconds."""
TRIES = 3
"""A machine that is busy with something else may be late once; a service that is late is late always."""


async def completion(simulator: Provider) -> RecordedRequest:
    """The first that is asked for; models may be listed meanwhile."""
    for number in itertools.count(1):
        request = await simulator.wait_for_request(number)
        if request.method == "POST":
            return request
    raise AssertionError


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("held", [0, 2], ids=["before the first word", "after two words"])
@pytest.mark.parametrize("surface", SURFACES, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_the_provider_is_left_within_a_tenth_of_a_second(
    all_providers: World, provider: Vendor, surface: Surface, held: int, stream: bool
) -> None:
    """A whole answer is held before its headers, but for those that are collected from a stream."""
    simulator = all_providers.of(provider)
    body = surface.body(f"{provider.name}/{provider.model}", {"messages": [user("Count to 9")]}, stream=stream)
    took: list[float] = []
    try:
        while len(took) < TRIES and (not took or min(took) > AT_ONCE):
            simulator.requests.clear()
            simulator.hold(after=held)
            asking = asyncio.create_task(all_providers.llm.post(surface.path, json=body))
            request = await completion(simulator)
            await asyncio.wait_for(request.held.wait(), 5)
            left = time.monotonic()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await asyncio.wait_for(request.disconnected.wait(), 5)
            assert request.left_at is not None
            took.append(request.left_at - left)
            assert not request.answered.is_set()
    finally:
        simulator.gate = None
    assert min(took) <= AT_ONCE
