"""Recorded provider traffic, from the folder that SYNAPSCALE_CASSETTES names; without it the tests that replay skip."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml


@dataclass(frozen=True)
class Recording:
    """One exchange; `body` is the answer's, `request` the body that was sent."""

    name: str
    uri: str
    request: dict[str, Any]
    status: int
    body: Any

    def __str__(self) -> str:
        return self.name

    @property
    def is_stream(self) -> bool:
        return isinstance(self.body, str) and self.body.startswith("data:")

    @property
    def sse_data(self) -> list[str]:
        return [line.removeprefix("data:").strip() for line in self.body.splitlines() if line.startswith("data:")]


def recordings(*providers: str) -> list[Any]:
    """Parameters for a test: each chat exchange of `providers`, or one that skips."""
    folder = os.environ.get("SYNAPSCALE_CASSETTES")
    if not folder:
        return [pytest.param(None, marks=pytest.mark.skip(reason="SYNAPSCALE_CASSETTES names no recordings"))]
    found = []
    for provider in providers:
        for path in sorted((Path(folder) / provider).glob("*.yaml")):
            for number, exchange in enumerate(yaml.load(path.read_text(), yaml.CSafeLoader)["interactions"]):
                if isinstance(exchange["request"].get("parsed_body"), dict):
                    found.append(_recording(f"{provider}-{path.stem}-{number}", exchange))
    return found


def _recording(name: str, exchange: dict[str, Any]) -> Recording:
    answer = exchange["response"]
    body = answer.get("parsed_body", answer.get("body"))
    if isinstance(body, dict) and body.keys() == {"string"}:
        body = body["string"]
    if isinstance(body, str) and body.startswith("{"):
        body = json.loads(body)
    return Recording(
        name=name,
        uri=exchange["request"]["uri"],
        request=exchange["request"]["parsed_body"],
        status=answer["status"]["code"],
        body=body,
    )
