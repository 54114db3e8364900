"""One platform per shape for all tests of a run; a provider on loopback where one is configured."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from shared.ids import uuid7_hex
from tests.conftest import execute
from tests.e2e.attackers import World, world
from tests.e2e.platforms import Platform, platform
from tests.e2e.readme import ROOT

SHAPES: dict[str, tuple[str, ...]] = {"standalone": (), "processes": ("--processes",)}


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The base URL of a simulated OpenAI in a process of its own; its key is `sk-e2e`."""
    command = [sys.executable, "-m", "tests.simulators.openai", "--api-key", "sk-e2e"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.fixture(scope="session", params=SHAPES)
def echoing(request: Any) -> Iterator[Platform]:
    """A platform without any key, in each shape."""
    with (
        tempfile.TemporaryDirectory() as directory,
        platform(*SHAPES[request.param], data_dir=Path(directory) / "data") as started,
    ):
        yield started


@pytest.fixture(scope="session", params=SHAPES)
def serving(request: Any, provider: str) -> Iterator[Platform]:
    """A platform with a provider, in each shape."""
    environment = {"OPENAI_API_KEY": "sk-e2e", "OPENAI_BASE_URL": provider}
    with tempfile.TemporaryDirectory() as directory:
        data_dir = Path(directory) / "data"
        with platform(*SHAPES[request.param], data_dir=data_dir, environment=environment) as started:
            yield started


@contextmanager
def _attacked(shape: str, *, postgres: URL, template: URL, directory: Path) -> Iterator[World]:
    name = f"attacked_{uuid7_hex()}"
    asyncio.run(execute(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{template.database}" STRATEGY FILE_COPY'))
    url = postgres.set(database=name).render_as_string(hide_password=False)
    try:
        with world(*SHAPES[shape], database_url=url, directory=directory) as opened:
            yield opened
    finally:
        asyncio.run(execute(postgres, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="module")
def attacked(postgres: URL, template: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A platform in one process for the attacks of a module."""
    with _attacked(
        "standalone", postgres=postgres, template=template, directory=tmp_path_factory.mktemp("w")
    ) as opened:
        yield opened


@pytest.fixture(scope="module", params=SHAPES)
def attacked_shapes(
    request: Any, postgres: URL, template: URL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One in each shape."""
    with _attacked(
        request.param, postgres=postgres, template=template, directory=tmp_path_factory.mktemp("w")
    ) as opened:
        yield opened
