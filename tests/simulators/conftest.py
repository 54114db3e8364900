"""Simulators, and the official clients that speak to them."""

from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI

from tests.simulators.openai import OpenAISimulator


@pytest.fixture
async def openai_sim() -> AsyncIterator[OpenAISimulator]:
    async with OpenAISimulator() as simulator:
        yield simulator


@pytest.fixture
async def openai_sdk(openai_sim: OpenAISimulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=openai_sim.base_url, api_key=openai_sim.api_key, max_retries=0) as sdk:
        yield sdk
