"""Homes for the commands that the tests start."""

from collections.abc import Iterator

import pytest

from tests.launcher.homes import Home, free_port, new_home


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """Shared by the tests of a module: each leaves nothing running in it, and a second start is quicker."""
    with new_home() as made:
        yield made


@pytest.fixture
def fresh_home() -> Iterator[Home]:
    with new_home() as made:
        yield made
