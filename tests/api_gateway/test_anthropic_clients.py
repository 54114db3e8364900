"""Anthropic's SDK at the door: its key in either header, and every refusal in the shape that it reads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
import yaml

from auth_service.main import create_app as create_auth
from auth_service.settings import Settings as AuthSettings
from llm_service.main import create_app as create_llm
from llm_service.settings import Settings as LlmSettings
from shared.upstreams import InProcessUpstream, Upstreams
from tests.api_gateway.conftest import gateway_over, silent_service
from tests.api_gateway.test_credentials import Door
from tests.auth_service.conftest import ADMIN_PASSWORD
from tests.llm_service.anthropic_wire import accumulated, message, stub_row, stubbed
from tests.tokens import SECRET

MESSAGES = "/v1/messages"
HELLO = message({"type": "text", "text": "Brasília."})
ASKED: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Qual é a capital do Brasil?"}],
}


@asynccontextmanager
async def door_to_anthropic(database_url: str, directory: Path) -> AsyncIterator[Door]:
    """The gateway, auth-service and llm-service as they are, over a stub of Anthropic."""
    async with stubbed(HELLO) as stub:
        config = directory / "llm.yaml"
        row = stub_row(stub, models=("claude-sonnet-5", "claude-opus-5"))
        config.write_text(yaml.safe_dump({"providers": {"anthropic": row}}))
        given: dict[str, Any] = {"secret_key": SECRET, "data_dir": directory, "log_level": "error"}
        auth = InProcessUpstream(
            "auth", app=create_auth(AuthSettings(database_url=database_url, admin_password=ADMIN_PASSWORD, **given))
        )
        llm = create_llm(LlmSettings(llm_config=config, database_url=database_url, **given), variables={})
        llm.state.upstreams = Upstreams([auth])
        async with gateway_over(auth, InProcessUpstream("llm", app=llm), silent_service("chat")) as client:
            del client.headers["authorization"]
            yield Door(client, [])


@pytest.fixture
async def door(database_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with door_to_anthropic(database_url, tmp_path) as opened:
        yield opened


def shape(answer: httpx2.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["type"] == "error"
    assert body["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["error"]["type"]


async def test_a_key_in_either_header_is_answered(door: Door) -> None:
    key = (await door.key())["key"]
    for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
        whole = await door.client.post(MESSAGES, json=ASKED, headers=headers)
        streamed = await door.client.post(MESSAGES, json={**ASKED, "stream": True}, headers=headers)
        counted = await door.client.post(f"{MESSAGES}/count_tokens", json=ASKED, headers=headers)
        assert whole.json() == HELLO
        assert accumulated(streamed.content)["content"] == HELLO["content"]
        assert counted.json() == {"input_tokens": 42}
        assert whole.headers["request-id"] == whole.headers["x-request-id"]


async def test_the_sdk_is_answered_through_the_gateway(door: Door) -> None:
    key = (await door.key())["key"]
    address = str(door.client.base_url)
    async with anthropic.AsyncAnthropic(api_key=key, base_url=address, max_retries=0) as client:
        async with client.messages.stream(**ASKED) as answering:
            streamed = await answering.get_final_message()
        beta = await client.beta.messages.create(**ASKED, betas=["tomorrow-2027-01-01"])
    assert streamed.content[0].type == "text"
    assert streamed.content[0].text == "Brasília."
    assert beta.stop_reason == "end_turn"


async def test_the_sdk_lists_and_reads_models_page_by_page(door: Door) -> None:
    key = (await door.key())["key"]
    address = str(door.client.base_url)
    async with anthropic.AsyncAnthropic(api_key=key, base_url=address, max_retries=0) as client:
        listed = [model.id async for model in client.models.list(limit=1)]
        last = await client.models.list(limit=1, before_id=listed[-1])
        one = await client.models.retrieve(listed[0])
        with pytest.raises(anthropic.NotFoundError) as missing:
            await client.models.retrieve("none")
        with pytest.raises(anthropic.BadRequestError):
            await client.models.list(after_id="none")
    by_key = await door.client.get("/v1/models", headers={"x-api-key": key})
    openais = await door.client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
    assert [model["id"] for model in openais.json()["data"]] == listed == [one["id"] for one in by_key.json()["data"]]
    assert len(listed) == len(set(listed)) > 1
    assert [model.id for model in last.data] == [listed[-2]]
    assert (one.type, one.id, one.display_name, one.created_at.year) == ("model", listed[0], listed[0], 1970)
    assert missing.value.type == "not_found_error"
    assert (openais.json()["object"], by_key.json()["has_more"]) == ("list", False)


async def test_what_the_gateway_refuses_has_anthropics_shape(door: Door) -> None:
    made = await door.key(requests_per_minute=2)
    reader = (await door.key(scopes=["chat:read"]))["key"]

    async def ask(path: str = MESSAGES, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await door.client.post(path, json=ASKED, headers=named)

    assert shape(await ask()) == (401, "authentication_error")
    assert shape(await ask(x_api_key="x")) == (401, "authentication_error")
    assert shape(await ask(x_api_key=reader)) == (403, "permission_error")
    assert shape(await ask(f"{MESSAGES}/nothing", x_api_key=made["key"])) == (404, "not_found_error")
    assert (await ask(x_api_key=made["key"])).status_code == 200
    limited = await ask(x_api_key=made["key"])
    assert shape(limited) == (429, "rate_limit_error")
    assert int(limited.headers["retry-after"]) > 0
