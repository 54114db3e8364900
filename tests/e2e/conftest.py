"""One platform per shape for all tests of a run; a provider on loopback where one is configured."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
