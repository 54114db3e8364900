"""One document for the whole API, and a page that shows it without asking anybody else."""

import json
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from api_gateway.openapi import merged
from auth_service.main import create_app as create_auth
from auth_service.settings import Settings as AuthSettings
from chat_service.main import create_app as create_chat
from chat_service.settings import Settings as ChatSettings
from llm_service.main import create_app as create_llm
from llm_service.settings import Settings as LlmSettings
from shared.upstreams import HttpUpstream, InProcessUpstream
from tests.api_gateway.conftest import gateway_over, silent_service
from tests.llm_service.serving import NO_DATABASE
from tests.simulators.http import nothing_listens
from tests.tokens import auth_stub

METHODS = {"get", "put", "post", "delete", "patch", "options", "head"}


def everything() -> dict[str, Any]:
    documents = {
        "auth": create_auth(AuthSettings()).openapi(),
        "llm": create_llm(LlmSettings()).openapi(),
        "chat": create_chat(ChatSettings()).openapi(),
    }
    return merged(documents)


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for path in document["paths"].values() for method, each in path.items() if method in METHODS]


def test_every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() -> None:
    document = everything()
    for ref in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
        place: Any = document
        for step in ref.removeprefix("#/").split("/"):
            place = place[step]
    names = [operation["operationId"] for operation in operations(document)]
    assert len(names) == len(set(names))


def test_the_authorize_button_finds_a_password_and_a_bearer_scheme() -> None:
    document = everything()
    schemes = document["components"]["securitySchemes"]
    assert schemes["password"]["flows"]["password"]["tokenUrl"] == "/api/auth/token"
    assert schemes["bearer"]["scheme"] == "bearer"
    assert document["paths"]["/api/chat/messages"]["post"]["security"] == [{"password": []}, {"bearer": []}]
    assert "security" not in document["paths"]["/api/auth/token"]["post"]
    assert "security" not in document["paths"]["/.well-known/jwks.json"]["get"]


def service_with(model: type[BaseModel], path: str) -> dict[str, Any]:
    app = FastAPI()
    app.add_api_route(path, lambda: None, response_model=model)
    return app.openapi()


def test_a_name_that_two_services_use_differently_gets_a_prefix() -> None:
    one = type("Thing", (BaseModel,), {"__annotations__": {"a": int}})
    two = type("Thing", (BaseModel,), {"__annotations__": {"b": str}})
    document = merged({"llm": service_with(one, "/api/llm/x"), "chat": service_with(two, "/api/chat/x")})
    schemas = document["components"]["schemas"]
    assert schemas["Thing"]["properties"].keys() == {"a"}
    assert schemas["ChatThing"]["properties"].keys() == {"b"}
    answer = document["paths"]["/api/chat/x"]["get"]["responses"]["200"]["content"]["application/json"]
    assert answer["schema"]["$ref"] == "#/components/schemas/ChatThing"


def test_what_the_gateway_does_not_pass_on_is_not_shown() -> None:
    assert merged({"llm": service_with(BaseModel, "/internal/x")})["paths"] == {}


async def test_a_service_that_is_away_leaves_the_rest(tmp_path: Path) -> None:
    llm = InProcessUpstream(
        "llm", app=create_llm(LlmSettings(database_url=NO_DATABASE, data_dir=tmp_path), variables={})
    )
    llm.app.state.upstreams = type(llm.app.state.upstreams)([auth_stub()])
    with nothing_listens() as nowhere:
        async with gateway_over(auth_stub(), llm, HttpUpstream("chat", url=nowhere)) as client:
            document = (await client.get("/openapi.json")).json()
    assert "/api/llm/models" in document["paths"]
    assert "/health" in document["paths"]
    assert "/api/chat/messages" not in document["paths"]


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    async with gateway_over(auth_stub(), silent_service("llm"), silent_service("chat")) as client:
        page = (await client.get("/docs")).text
        for place in re.findall(r'(?:src|href)="([^"]+)"', page):
            assert place.startswith("/docs/files/")
            assert (await client.get(place)).status_code == 200
    assert "http://" not in page
    assert "https://" not in page
    assert "/openapi.json" in page
