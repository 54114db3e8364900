"""llm-service as its callers see it, over providers that a test chooses."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml
from fastapi import FastAPI

from llm_service.main import create_app
from llm_service.settings import Settings
from shared.upstreams import InProcessUpstream, Upstreams
from tests.serving import served
from tests.simulators.openai import OpenAISimulator
from tests.tokens import SECRET, auth_stub, bearer

Json = dict[str, Any]
QUESTION = "Qual é a capital do Brasil?"
ANSWER = "A capital do Brasil é Brasília."
NO_DATABASE = "postgresql://nobody:Zk3-v9Qq_81xTt@127.0.0.1:1/nothing"
"""Completions need none: what they used waits in the data directory."""
SURFACES = ("/v1/chat/completions", "/api/llm/chat/completions")


def row(simulator: OpenAISimulator, *, models: Sequence[str] = ("gpt-4o",), type: str = "openai") -> Json:
    """A provider of the configuration that is `simulator`."""
    return {"type": type, "base_url": simulator.base_url, "api_key": simulator.api_key, "models": list(models)}


def asking(content: str = QUESTION, *, model: str = "gpt-4o", **fields: Any) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}


@asynccontextmanager
async def serving(
    directory: Path,
    providers: Mapping[str, Json],
    **options: Any,
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the running service, with a token that may do everything; `options` are those of `made`."""
    llm = InProcessUpstream("llm", app=made(directory, providers, **options))
    async with llm.running():
        client = llm.client()
        client.headers.update(bearer())
        yield client


@asynccontextmanager
async def listening(
    directory: Path,
    providers: Mapping[str, Json],
    **options: Any,
) -> AsyncIterator[httpx2.AsyncClient]:
    """The same on a socket, as other processes reach it."""
    limits = httpx2.Limits(max_connections=2000, max_keepalive_connections=0)
    async with (
        served(made(directory, providers, **options)) as url,
        httpx2.AsyncClient(base_url=url, headers=bearer(), limits=limits, timeout=30, trust_env=False) as client,
    ):
        yield client


def made(
    directory: Path,
    providers: Mapping[str, Json],
    *,
    env: str = "development",
    database_url: str = NO_DATABASE,
    lease_seconds: float = 60,
    **sections: Any,
) -> FastAPI:
    """The service; `sections` are those of llm.yaml."""
    path = directory / "llm.yaml"
    path.write_text(yaml.safe_dump({"providers": dict(providers), **sections}))
    given = {"llm_config": path, "data_dir": directory, "database_url": database_url, "env": env}
    given |= {"log_level": "error", "secret_key": SECRET, "llm_lease_seconds": lease_seconds}
    settings = Settings.model_validate(given)
    app = create_app(settings, variables={})
    app.state.upstreams = Upstreams([auth_stub()])
    return app


def openai_chunks(text: str) -> list[Json]:
    """The chunks of an OpenAI stream that ended with [DONE]."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(one) for one in data[:-1]]


def events(text: str) -> list[Json]:
    """The events of a native stream; asserts that they are numbered from 1 and that the last is the only end."""
    frames = [frame for frame in text.split("\n\n") if frame and not frame.startswith(":")]
    found = []
    for number, frame in enumerate(frames, start=1):
        fields = dict(line.split(": ", 1) for line in frame.splitlines())
        event = json.loads(fields["data"])
        assert fields["id"] == str(number)
        assert fields["event"] == event["type"]
        assert isinstance(event["content"], str)
        found.append(event)
    assert [event["type"] in ("done", "error") for event in found].count(True) == 1
    assert found[-1]["type"] in ("done", "error")
    return found


def said(text: str, *, surface: str) -> str:
    """The answer in a stream of either surface."""
    if surface.startswith("/v1/"):
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in openai_chunks(text) if c["choices"])
    return "".join(event["content"] for event in events(text))
