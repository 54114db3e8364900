"""Each OpenAI-compatible provider of the shipped configuration, asked on sockets, as it answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import yaml

from llm_service.main import create_app
from llm_service.settings import Settings
from shared.upstreams import Upstreams
from tests.llm_service.serving import ANSWER, NO_DATABASE, asking, events, openai_chunks
from tests.serving import served
from tests.simulators.compatible import ACCENTS, THOUGHT, CompatibleSimulator
from tests.tokens import SECRET, auth_stub, bearer

TEXT = Path("config/llm.yaml").read_text()
KEY = "sk-simulated"


def rows() -> dict[str, Any]:
    found = yaml.safe_load(TEXT)["providers"]
    return {name: row for name, row in found.items() if row["type"] == "openai_compatible"}


@asynccontextmanager
async def shipped(name: str, sim: CompatibleSimulator, directory: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """The shipped configuration where only the variable of provider `name` is set; its host is the simulator, its
    path is the shipped one."""
    row = rows()[name]
    text, variables = TEXT, {}
    if "api_key" in row:
        variables[row["api_key"].strip("${}")] = KEY
        host = urlsplit(row["base_url"])
        text = text.replace(f"{host.scheme}://{host.netloc}/", f"{sim.root_url}/")
    else:
        variables[row["base_url"].partition("}")[0].removeprefix("${")] = sim.root_url
    path = directory / "llm.yaml"
    path.write_text(text)
    given = {"llm_config": path, "data_dir": directory, "database_url": NO_DATABASE, "env": "development"}
    app = create_app(Settings.model_validate(given | {"log_level": "error", "secret_key": SECRET}), variables=variables)
    app.state.upstreams = Upstreams([auth_stub()])
    async with (
        served(app) as url,
        httpx2.AsyncClient(base_url=url, headers=bearer(), timeout=30, trust_env=False) as client,
    ):
        yield client


def test_every_shipped_row_has_its_simulator() -> None:
    assert rows().keys() == ACCENTS.keys()


@pytest.mark.parametrize("name", ACCENTS)
async def test_a_shipped_row_needs_its_variable_only(name: str, tmp_path: Path) -> None:
    """Whole, streamed, translated, with thoughts and usage; and an answer that breaks off is told as one."""
    accent = ACCENTS[name]
    model = f"{name}/{accent.model}"
    async with CompatibleSimulator(accent, api_key=KEY) as sim, shipped(name, sim, tmp_path) as llm:
        whole = await llm.post("/v1/chat/completions", json=asking(model=model, max_tokens=50))
        streamed = await llm.post(
            "/v1/chat/completions",
            json=asking(model=model, stream=True, max_completion_tokens=50, stream_options={"include_usage": True}),
        )
        translated = await llm.post("/v1/messages", json=asking(model=model, max_tokens=50, stream=True))
        native = await llm.post("/api/llm/chat/completions", json=asking(model=model, stream=True))
        sim.will_fail("error-later")
        broken = await llm.post("/v1/messages", json=asking(model=model, max_tokens=50, stream=True))
        sim.will_fail("error-first", "error-first")
        unbegun = await llm.post("/v1/chat/completions", json=asking(model=model, stream=True))
    asked = [one for one in sim.requests if one.method == "POST"]
    assert {one.path for one in asked} == {f"{accent.path}/chat/completions"}
    assert {one.headers.get("authorization") for one in asked} == {f"Bearer {KEY}" if accent.key else None}
    assert {one.body["model"] for one in asked} == {accent.model}
    assert [limits_of(one.body) for one in asked[:3]] == [
        {"max_tokens": 50},  # OpenAI's clients are relayed in their own words
        {"max_completion_tokens": 50},
        {"max_tokens": 50},  # what is translated is said in the word that all of them know
    ]
    assert asked[1].body["stream_options"] == {"include_usage": True}

    message = whole.json()["choices"][0]["message"]
    assert message["content"] == ANSWER
    assert message[accent.thoughts] == THOUGHT, "relayed in the provider's own word"
    chunks = openai_chunks(streamed.text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == ANSWER
    assert deltas[0][accent.thoughts] == THOUGHT
    assert f'"thinking":"{THOUGHT}"' in translated.text
    assert "event: message_stop" in translated.text
    usage = events(native.text)[-1]["usage"]
    assert usage == {**usage, **accent.counts, "estimated": False}
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"] > 0
    assert told_at_the_end(translated.text)["output_tokens"] == usage["output_tokens"]

    assert "event: error" in broken.text
    assert "It broke." in broken.text
    assert "message_stop" not in broken.text
    assert (unbegun.status_code, unbegun.json()["error"]["code"]) == (502, "provider_error")


def told_at_the_end(stream: str) -> dict[str, Any]:
    """The usage in Anthropic's last event but one."""
    (event,) = [line for line in stream.splitlines() if line.startswith('data: {"type":"message_delta"')]
    usage: dict[str, Any] = json.loads(event.removeprefix("data: "))["usage"]
    return usage


def limits_of(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name in ("max_tokens", "max_completion_tokens")}
