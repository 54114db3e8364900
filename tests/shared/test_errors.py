"""Every error in the shape of its surface, and never more than a client should know."""

import asyncio

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from shared.errors import Conflict, Unavailable, install_error_handlers
from shared.http.inprocess import InProcessTransport
from shared.pagination import decode_cursor, encode_cursor
from shared.request_id import RequestIdMiddleware
from tests.serving import served


class Item(BaseModel):
    name: str
    sizes: list[int]


def app() -> FastAPI:
    made = FastAPI()
    install_error_handlers(made)
    made.add_middleware(RequestIdMiddleware, service="test")

    async def conflict() -> None:
        raise Conflict("twice", owner="somebody")

    async def busy() -> None:
        raise Unavailable("later", retry_after=2.2)

    async def broken() -> None:
        raise RuntimeError("the secret is xyzzy")

    async def create(item: Item) -> None: ...

    for prefix in ("/api", "/v1"):
        made.add_api_route(f"{prefix}/conflict", conflict)
        made.add_api_route(f"{prefix}/busy", busy)
        made.add_api_route(f"{prefix}/broken", broken)
        made.add_api_route(f"{prefix}/items", create, methods=["POST"])
    return made


@pytest.fixture
def client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=InProcessTransport(app()), base_url="http://service")


async def test_a_domain_error_is_a_problem_with_all_its_members(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/conflict")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:synapscale:error:conflict",
        "title": "The request conflicts with the present state",
        "status": 409,
        "detail": "twice",
        "instance": "/api/conflict",
        "code": "conflict",
        "request_id": answer.headers["x-request-id"],
        "owner": "somebody",
    }


async def test_openais_clients_get_openais_shape(client: httpx2.AsyncClient) -> None:
    error = (await client.get("/v1/conflict")).json()["error"]
    assert error["message"] == "twice"
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "conflict"
    assert error["param"] is None


async def test_who_should_come_back_is_told_when(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/busy")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize("prefix", ["/api", "/v1"])
async def test_what_nobody_expected_says_nothing_but_where_to_look(client: httpx2.AsyncClient, prefix: str) -> None:
    answer = await client.get(f"{prefix}/broken")
    assert answer.status_code == 500
    assert "xyzzy" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"].startswith("req_")


async def test_each_mistake_in_a_body_has_a_pointer(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/items", json={"name": 7, "sizes": [1, "x"]})
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/name", "/sizes/1"}
    assert (await client.post("/v1/items", json={})).status_code == 400


@pytest.mark.parametrize("content", [b"{", b"", b"\xff"])
async def test_a_body_that_is_no_json_is_400_or_422(client: httpx2.AsyncClient, content: bytes) -> None:
    answer = await client.post("/api/items", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == (422 if content == b"" else 400)  # nothing at all is a missing body


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/api/conflict", 405)])
async def test_the_frameworks_own_errors_are_problems_too(
    client: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.json()["code"] in ("not_found", "method_not_allowed")
    if status == 405:
        assert answer.headers["allow"] == "GET"


def test_a_cursor_is_what_was_put_in() -> None:
    assert decode_cursor(encode_cursor("a", "é\n".strip()), parts=2) == ["a", "é"]


async def test_two_requests_at_once_have_two_ids(client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.get("/api/conflict") for _ in range(20)))
    assert len({answer.headers["x-request-id"] for answer in answers}) == 20


async def test_an_unexpected_error_says_that_its_connection_ends() -> None:
    """The server closes it; a gateway that kept it would lose the next request there, whosever that is."""
    async with served(app()) as url, httpx2.AsyncClient(base_url=url) as client:
        answer = await client.get("/api/broken")
    assert answer.status_code == 500
    assert answer.headers["connection"] == "close"
