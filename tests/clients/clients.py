"""Clients of other people. Each performs the same scenarios in its own idiom and tells what its user would see.

A scenario is a function of the client's module, here or in `node/`, that takes the door (`url`, `key`), a `model` and
what else the test gives, and returns an object of JSON:

    chat        system, history and a question      → text, finish, input_tokens, output_tokens
    stream      the same by the client's helper     → pieces, text, finish, input_tokens, output_tokens
    tools       asked, called, answered (`stream`)  → calls, text
    structured  a schema of the client's language   → city, degrees
    thinking    tools by a model that thinks        → thought, calls, text
    retried     a question, with one retry              → text
    abandoned   a stream that is left after a piece → pieces
    broken      a stream, to its end                → raises
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest

Json = dict[str, Any]
NODE = Path(__file__).parent / "node"


@dataclass(frozen=True)
class Door:
    """Where the platform's gateway is, and an API key of its."""

    url: str
    key: str


class Raised(Exception):
    """What a client raised, by the class that its users catch."""

    def __init__(self, *, name: str, message: str, status: int | None, request_id: str | None) -> None:
        super().__init__(f"{name} ({status}): {message}")
        self.name, self.message, self.status, self.request_id = name, message, status, request_id


class Node:
    """One process for all scenarios of the Node clients: a line asks, a line answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, **asked: Any) -> Json:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        told: Json = json.loads(self._process.stdout.readline())
        if raised := told.get("raised"):
            raise Raised(**raised)
        return told


def why_no_node() -> str | None:
    if shutil.which("node") is None:
        return "node is not installed"
    return None if (NODE / "node_modules").is_dir() else "no node_modules: make clients-installed"


@contextmanager
def node_process() -> Iterator[Node]:
    with subprocess.Popen(
        ["node", "run.mjs"], cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Node(process)
        assert process.stdin is not None
        process.stdin.close()  # it ends with its input


@dataclass(frozen=True)
class Client:
    """`speaks` tells which protocol; one that `keeps_thoughts` sends back what it was told, signatures too."""

    name: str
    speaks: Literal["openai", "anthropic"]
    keeps_thoughts: bool = True

    def __str__(self) -> str:
        return self.name

    @property
    def missing(self) -> str | None:
        """Why it cannot run here."""
        if self.name.startswith("node/"):
            return why_no_node()
        if self.name == "langchain" and find_spec("langchain_openai") is None:
            return "no langchain-openai: make clients-installed"
        return None

    def run(self, scenario: str, door: Door, request: pytest.FixtureRequest, **given: Any) -> Json:
        """Raises Raised. The process of the Node clients starts with the first of them."""
        if why := self.missing:
            pytest.skip(why)
        if self.name.startswith("node/"):
            node: Node = request.getfixturevalue("node")
            program = self.name.removeprefix("node/")
            return node.run(client=program, scenario=scenario, url=door.url, key=door.key, **given)
        try:
            told: Json = getattr(import_module(f"tests.clients.in_python.{self.name}"), scenario)(door, **given)
        except Exception as error:
            raise Raised(
                name=type(error).__name__,
                message=str(error),
                status=getattr(error, "status_code", None),
                request_id=getattr(error, "request_id", None),
            ) from error
        return told


CLIENTS = (
    Client("openai_sdk", "openai"),
    Client("langchain", "openai", keeps_thoughts=False),
    Client("node/openai", "openai"),
    Client("node/vercel-openai", "openai", keeps_thoughts=False),
    Client("node/vercel-compatible", "openai", keeps_thoughts=False),
    Client("anthropic_sdk", "anthropic"),
    Client("node/anthropic", "anthropic"),
    Client("node/vercel-anthropic", "anthropic"),
)
MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-6",
    "gemini": "gemini-3-flash-preview",
    "mistral": "mistral-large-latest",
}
"""Those that answer, by their provider."""
EVERY = pytest.mark.parametrize("client", CLIENTS, ids=str)
BACKED = pytest.mark.parametrize("provider", MODELS)
