"""Simulators, and the official clients that speak to them."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from openai import AsyncOpenAI

from tests.simulators.openai import OpenAISimulator
from tests.simulators.openai_asking import sdk_of


@pytest.fixture
async def openai_sim() -> AsyncIterator[OpenAISimulator]:
    async with OpenAISimulator() as simulator:
        yield simulator


@pytest.fixture
async def openai_sdk(openai_sim: OpenAISimulator) -> AsyncIterator[AsyncOpenAI]:
    async with sdk_of(openai_sim.base_url, openai_sim.api_key) as sdk:
        yield sdk


@pytest.fixture
async def plain(openai_sim: OpenAISimulator) -> AsyncIterator[httpx2.AsyncClient]:
    """Speaks HTTP to the simulator, with its key and no opinion on what comes back."""
    headers = {"authorization": f"Bearer {openai_sim.api_key}"}
    async with httpx2.AsyncClient(base_url=openai_sim.root_url, headers=headers, verify=False) as client:
        yield client
