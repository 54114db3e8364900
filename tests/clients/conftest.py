"""One platform for all clients, in front of all simulators."""

import asyncio
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from sqlalchemy import URL

from shared.ids import uuid7_hex
from tests.clients.clients import Client, Door, Json, Node, node_process
from tests.clients.simulated import KINDS, Simulated, simulated
from tests.conftest import execute
from tests.e2e.platforms import Platform, platform

SERVED = {
    "openai": ["gpt-4o", "gpt-5-mini", "text-embedding-3-small"],
    "anthropic": ["claude-sonnet-4-6"],
    "gemini": ["gemini-3-flash-preview", "gemini-embedding-001"],
    "mistral": ["mistral-large-latest", "magistral-medium-latest", "mistral-embed"],
}
VERSIONS = {"gemini": "/v1beta"}
"""What a base URL of ours ends with, where the provider's own SDK adds it."""


@pytest.fixture(scope="session")
def simulated_providers() -> Iterator[Simulated]:
    with simulated() as opened:
        yield opened


@pytest.fixture(scope="session")
def door(simulated_providers: Simulated, postgres: URL, template: URL) -> Iterator[Door]:
    """A platform in its own process. Providers stand there twice, so that what befalls one spares the other."""
    rows: dict[str, object] = {}
    for name in KINDS:
        simulator = simulated_providers.simulators[name]
        base_url = simulator.base_url + VERSIONS.get(name, "")
        row = {"type": name, "base_url": base_url, "api_key": simulator.api_key}
        rows[name] = {**row, "models": SERVED[name]}
        rows[f"failing-{name}"] = row
    with tempfile.TemporaryDirectory() as directory, cloned(template, on=postgres) as database_url:
        config = Path(directory) / "llm.yaml"
        config.write_text(yaml.safe_dump({"providers": rows}))
        environment = {"SYNAPSCALE_LLM_CONFIG": str(config), "SYNAPSCALE_DATABASE_URL": database_url}
        with platform(data_dir=Path(directory) / "data", environment=environment) as started:
            yield Door(started.url, api_key(started))


@pytest.fixture
def simulators(simulated_providers: Simulated) -> Iterator[Simulated]:
    """Those behind the door, without what the test before asked and scripted."""
    simulated_providers.forget()
    yield simulated_providers
    simulated_providers.forget()


@pytest.fixture
def run(door: Door, simulators: Simulated, request: pytest.FixtureRequest) -> Any:
    """`run(client, scenario, …)`, with another `key` than the door's where one is given. See clients.Client.run."""

    def performed(client: Client, scenario: str, *, key: str = door.key, **given: Any) -> Json:
        return client.run(scenario, Door(door.url, key), request, **given)

    return performed


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    with node_process() as started:
        yield started


@contextmanager
def cloned(template: URL, *, on: URL) -> Iterator[str]:
    name = f"clients_{uuid7_hex()}"
    asyncio.run(execute(on, f'CREATE DATABASE "{name}" TEMPLATE "{template.database}" STRATEGY FILE_COPY'))
    yield on.set(database=name).render_as_string(hide_password=False)
    asyncio.run(execute(on, f'DROP DATABASE "{name}" WITH (FORCE)'))


def api_key(on: Platform) -> str:
    """A key as a program gets it: by the token of its owner."""
    password = subprocess.run(shlex.split(on.password_command), capture_output=True, text=True, check=True).stdout
    with httpx2.Client(base_url=on.url, timeout=20) as http:
        token = http.post("/api/auth/token", json={"username": "admin", "password": password}).json()["access_token"]
        asked = {"name": "clients", "scopes": ["llm:read", "llm:invoke"], "requests_per_minute": 100_000}
        made = http.post("/api/auth/api-keys", json=asked, headers={"authorization": f"Bearer {token}"})
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    assert key.startswith("sk-syn-")
    return key
