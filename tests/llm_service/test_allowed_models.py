"""A key that is for some models: what it may ask for, and what it sees."""

from pathlib import Path

import pytest

from tests.llm_service.serving import SURFACES, asking, row, serving
from tests.simulators.openai import OpenAISimulator
from tests.tokens import WHOLE_RUN, bearer

LIMITED = bearer(policy={"models": ["gpt-4o", "cheap"]}, exp=WHOLE_RUN)
ROUTES = {"auto": ["gpt-4"], "cheap": ["gpt-4"]}


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("stream", [False, True])
async def test_only_allowed_names_are_answered(surface: str, stream: bool, tmp_path: Path) -> None:
    refused = [
        asking(model="gpt-4", stream=stream),
        asking(model="openai/gpt-4o", stream=stream),
        asking(model="auto", stream=stream),
        asking(model="gpt-4o", fallbacks=["gpt-4"], stream=stream),
        {key: value for key, value in asking(stream=stream).items() if key != "model"},
        asking(model="nobody-has-this", stream=stream),
    ]
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, routes=ROUTES) as llm:
        for allowed in (asking(stream=stream), asking(model="cheap", stream=stream)):
            assert (await llm.post(surface, json=allowed, headers=LIMITED)).status_code == 200
        asked = len(sim.requests)
        answers = [await llm.post(surface, json=body, headers=LIMITED) for body in refused]
        assert len(sim.requests) == asked
    for answer in answers:
        body = answer.json()
        assert answer.status_code == 403
        assert (body["error"]["code"] if surface.startswith("/v1/") else body["code"]) == "model_not_allowed"
    assert "'openai/gpt-4o'" in answers[1].text
    if surface.startswith("/v1/"):
        assert answers[0].json()["error"]["type"] == "permission_error"
        assert answers[0].json()["error"]["param"] == "model"


async def test_only_allowed_models_are_seen(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, routes=ROUTES) as llm:
        for path in ("/api/llm/models", "/v1/models"):
            listed = (await llm.get(path, headers=LIMITED)).json()["data"]
            assert {model["id"] for model in listed} == {"gpt-4o", "cheap"}
            assert (await llm.get(f"{path}/gpt-4o", headers=LIMITED)).status_code == 200
            hidden = await llm.get(f"{path}/gpt-4", headers=LIMITED)
            assert hidden.status_code == 404
            assert "auto" not in hidden.text
            assert len((await llm.get(path)).json()["data"]) > 2
