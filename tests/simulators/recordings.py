"""Recordings of real providers, to compare simulators with.

They are not part of the project. SYNAPSCALE_CASSETTES names the folder that holds them, as `<provider>/*.yaml` in the
format of VCR; what needs them is skipped without it.
"""

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = os.environ.get("SYNAPSCALE_CASSETTES", "")
needed = pytest.mark.skipif(not FOLDER, reason="SYNAPSCALE_CASSETTES names no folder of recordings")

JSON = dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """One request to a provider, and its answer."""

    path: str
    """With the query."""
    request: JSON
    status: int
    headers: frozenset[str]
    content_type: str
    body: JSON
    """Empty if the answer is a stream."""
    names: list[str]
    """Of the events, where they have any."""
    chunks: list[JSON]


@cache
def recordings(provider: str, host: str, *, holding: str = "") -> list[tuple[str, Recording]]:
    """Those with `host` of which the path holds a text, with the names of their files."""
    found = []
    for path in sorted(Path(FOLDER, provider).glob("*.yaml")) if FOLDER else []:
        for one in yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["interactions"]:
            uri = one["request"]["uri"].partition("#")[0]
            if uri.startswith(f"https://{host}/") and holding in uri and "parsed_body" in one["request"]:
                found.append((path.stem, read(one, uri.removeprefix(f"https://{host}"))))
    return found


def read(interaction: JSON, path: str) -> Recording:
    response = interaction["response"]
    headers = {name.lower(): values[0] for name, values in response["headers"].items()}
    stream = response.get("body", {}).get("string", "")
    return Recording(
        path=path,
        request=interaction["request"]["parsed_body"],
        status=response["status"]["code"],
        headers=frozenset(headers),
        content_type=headers["content-type"],
        body=response.get("parsed_body", {}),
        names=[line.removeprefix("event: ") for line in stream.splitlines() if line.startswith("event: ")],
        chunks=chunks_of(stream),
    )


def chunks_of(stream: str) -> list[JSON]:
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def shape(value: Any, ignored: Collection[str] = ()) -> Any:
    """Keys and types without the values; a list is the shapes of its elements."""
    match value:
        case dict():
            return {key: shape(inner, ignored) for key, inner in value.items() if key not in ignored}
        case list():
            return [shape(inner, ignored) for inner in value]
        case _:
            return type(value).__name__


def shapes(chunks: list[JSON], ignored: Collection[str] = ()) -> list[Any]:
    """One for each run of equal shapes: a word more or less is no difference."""
    return [one for one, _ in groupby(shape(chunk, ignored) for chunk in chunks)]
