"""The list of models: configured, discovered, and by which names they are found."""

from pathlib import Path

from tests.llm_service.serving import SURFACES, asking, row, serving
from tests.simulators.faults import Fault
from tests.simulators.http import nothing_listens
from tests.simulators.openai import OpenAISimulator


async def test_what_a_provider_lists_is_added_to_what_is_configured(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim, models=["my-model"])}) as llm:
        listed = (await llm.get("/api/llm/models")).json()
        openai = (await llm.get("/v1/models")).json()
    ids = [model["id"] for model in listed["data"]]
    assert listed["next_cursor"] is None
    assert ids[0] == "my-model"
    assert "gpt-4.1-nano" in ids
    assert len(ids) == len(set(ids))
    assert openai["object"] == "list"
    assert [model["id"] for model in openai["data"]] == ids
    assert openai["data"][0]["owned_by"] == "openai"


async def test_a_route_is_listed_with_its_chain_and_hides_what_is_not_configured(tmp_path: Path) -> None:
    routes = {"auto": ["nobody/x", "gpt-4o", "gpt-4"], "empty": ["nobody/x"]}
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, routes=routes) as llm:
        auto = (await llm.get("/api/llm/models/auto")).json()
        empty = await llm.get("/api/llm/models/empty")
    assert (auto["id"], auto["object"], auto["providers"]) == ("auto", "route", ["openai"])
    assert auto["chain"] == ["openai/gpt-4o", "openai/gpt-4"]
    assert empty.status_code == 404


async def test_what_is_known_of_a_model_is_told_and_the_file_knows_better(tmp_path: Path) -> None:
    models = {"gpt-4": {"prices": {"input": "29.5"}}, "mine": {"can": ["tools"], "deprecated": "2027-01-31"}}
    async with OpenAISimulator() as sim:
        rows = {"openai": row(sim, models=("gpt-4", "mine", "nobody-knows"))}
        async with serving(tmp_path, rows, models=models) as llm:
            listed = {model["id"]: model for model in (await llm.get("/api/llm/models")).json()["data"]}
    assert listed["gpt-4"]["context_window"] == 8192
    assert listed["gpt-4"]["prices"]["input"] == "29.5"
    assert (listed["mine"]["can"], listed["mine"]["deprecated"]) == (["tools"], "2027-01-31")
    assert (listed["nobody-knows"]["prices"], listed["nobody-knows"]["input"]) == (None, None)


async def test_one_model_is_read_by_its_name(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim, models=["org/a-model"])}) as llm:
        ours = await llm.get("/api/llm/models/org/a-model")
        openai = await llm.get("/v1/models/org/a-model")
        missing = await llm.get("/v1/models/none")
    assert ours.json()["id"] == openai.json()["id"] == "org/a-model"
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


async def test_a_model_that_two_providers_serve_is_listed_once_and_tried_at_both(tmp_path: Path) -> None:
    async with (
        OpenAISimulator() as one,
        OpenAISimulator() as two,
        serving(tmp_path, {"one": row(one), "two": row(two)}) as llm,
    ):
        model = (await llm.get("/api/llm/models/gpt-4o")).json()
        one.faults.append(Fault("status", status=401))
        answer = await llm.post(SURFACES[0], json=asking())
    assert model["providers"] == ["one", "two"]
    assert answer.headers["x-synapscale-provider"] == "two"


async def test_a_discovered_model_answers(tmp_path: Path) -> None:
    rows = {"local": {"type": "openai_compatible", "models": []}}
    async with OpenAISimulator() as sim:
        rows["local"] |= {"base_url": sim.base_url, "api_key": sim.api_key}
        async with serving(tmp_path, rows) as llm:
            answer = await llm.post(SURFACES[0], json=asking(model="gpt-4.1-nano"))
    assert answer.status_code == 200


async def test_a_provider_that_is_away_does_not_empty_the_list(tmp_path: Path) -> None:
    with nothing_listens() as nowhere:
        dead = {"type": "openai_compatible", "base_url": nowhere, "models": ["configured"]}
        async with OpenAISimulator() as sim, serving(tmp_path, {"dead": dead, "openai": row(sim)}) as llm:
            ids = [model["id"] for model in (await llm.get("/api/llm/models")).json()["data"]]
    assert ids[0] == "configured"
    assert "gpt-4o" in ids


async def test_a_listed_name_with_a_slash_wins_over_the_provider_of_that_name(tmp_path: Path) -> None:
    async with OpenAISimulator() as openai:
        rows = {"openai": row(openai), "local": {"type": "echo", "models": ["openai/gpt-oss-20b"]}}
        async with serving(tmp_path, rows) as llm:
            answer = await llm.post(SURFACES[0], json=asking(model="openai/gpt-oss-20b"))
    assert answer.headers["x-synapscale-provider"] == "local"
    assert answer.headers["x-synapscale-model"] == "openai/gpt-oss-20b"


async def test_a_model_may_be_called_anything(tmp_path: Path) -> None:
    name = "日本/é\r\nx"
    async with serving(tmp_path, {"local": {"type": "echo", "models": [name]}}) as llm:
        answer = await llm.post(SURFACES[0], json=asking(model=name))
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-model"] == "%E6%97%A5%E6%9C%AC/%C3%A9%0D%0Ax"


async def test_auto_is_any_model_where_its_chain_is_not_configured(tmp_path: Path) -> None:
    rows = {"local": {"type": "openai_compatible", "models": []}}
    async with OpenAISimulator() as sim:
        rows["local"] |= {"base_url": sim.base_url, "api_key": sim.api_key}
        async with serving(tmp_path, rows, routes={"auto": ["openai/gpt-4o"]}) as llm:
            answer = await llm.post(SURFACES[1], json={"messages": [{"role": "user", "content": "x"}]})
    assert answer.status_code == 200
    assert answer.headers["x-synapscale-provider"] == "local"


async def test_auto_is_the_model_of_a_request_that_names_none(tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}, routes={"auto": ["gpt-4o"]}) as llm:
        answer = await llm.post(SURFACES[1], json={"messages": [{"role": "user", "content": "x"}]})
    assert answer.headers["x-synapscale-model"] == "gpt-4o"
