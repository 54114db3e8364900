"""Homes for the commands that the tests start."""

from collections.abc import Iterator

import pytest

from tests.launcher.homes import Home, free_port, new_home


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def home_of_all() -> Iterator[Home]:
    with new_home() as made:
        yield made


@pytest.fixture
def home(home_of_all: Home) -> Iterator[Home]:
    """Nothing runs in it, but there may be data: a second start is quicker than a first one."""
    yield home_of_all
    home_of_all.end_everything()


@pytest.fixture
def fresh_home() -> Iterator[Home]:
    with new_home() as made:
        yield made
