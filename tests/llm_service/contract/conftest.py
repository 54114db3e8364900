"""One service over all simulators for a whole module."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.llm_service.contract.providers import World, world


@pytest.fixture(scope="module")
async def shared_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("contract")) as running:
        yield running


@pytest.fixture
def all_providers(shared_world: World) -> Iterator[World]:
    """Nothing is left of the test before."""
    shared_world.forget()
    yield shared_world
    assert not any(simulator.answers for simulator in shared_world.simulators.values()), "not all was asked"
