"""`/health`: every service asked at once, and what the answers add up to."""

import asyncio
import time
from typing import Any

import pytest
from fastapi import FastAPI, Response

from api_gateway.health import Examination
from api_gateway.upstreams import SERVICES
from shared.upstreams import HttpUpstream, InProcessUpstream, Upstreams
from tests.api_gateway.conftest import gateway_over
from tests.simulators.http import nothing_listens


def well(name: str) -> InProcessUpstream:
    return answering(name, status="ok", version="1.2.3")


def answering(name: str, *, code: int = 200, **body: Any) -> InProcessUpstream:
    app = FastAPI()

    @app.get("/health")
    async def health(response: Response) -> dict[str, Any]:
        response.status_code = code
        return body

    return InProcessUpstream(name, app=app)


def stuck(name: str) -> InProcessUpstream:
    app = FastAPI()

    @app.get("/health")
    async def health() -> None:
        await asyncio.Event().wait()

    return InProcessUpstream(name, app=app)


async def test_all_well_is_ok() -> None:
    async with gateway_over(well("auth"), well("llm"), well("chat")) as client:
        answer = await client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert body["services"].keys() == {"auth", "llm", "chat"}
    assert body["services"]["auth"]["version"] == "1.2.3"
    assert body["services"]["auth"]["latency_ms"] >= 0


async def test_one_away_is_degraded_and_says_what_is_wrong() -> None:
    sick = answering("chat", code=503, status="down", problem="the database does not answer")
    async with gateway_over(well("auth"), well("llm"), sick) as client:
        answer = await client.get("/health")
        ready = await client.get("/health/ready")
    assert answer.status_code == ready.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["services"]["chat"]["problem"] == "the database does not answer"


async def test_a_service_that_works_with_a_concern_is_degraded_and_so_is_the_whole() -> None:
    worried = answering("llm", status="degraded", problem="no news of revocations")
    async with gateway_over(well("auth"), worried, well("chat")) as client:
        answer = await client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == answer.json()["services"]["llm"]["status"] == "degraded"
    assert answer.json()["services"]["llm"]["problem"] == "no news of revocations"
    assert answer.json()["problem"] is None


async def test_services_with_concerns_only_are_not_down() -> None:
    async with gateway_over(*(answering(name, status="degraded", problem="x") for name in SERVICES)) as client:
        answer = await client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


async def test_none_left_is_down_and_the_gateway_lives_on() -> None:
    with nothing_listens() as nowhere:
        gone = [HttpUpstream(name, url=nowhere) for name in ("auth", "llm", "chat")]
        async with gateway_over(*gone) as client:
            answer = await client.get("/health")
            ready = await client.get("/health/ready")
            live = await client.get("/health/live")
    assert answer.status_code == ready.status_code == 503
    assert answer.json()["status"] == "down"
    assert live.status_code == 200


@pytest.mark.parametrize(("down", "status"), [({"auth"}, 503), ({"llm", "chat"}, 503), ({"llm"}, 200)])
async def test_it_is_ready_with_auth_and_a_service_to_be_let_in_to(down: set[str], status: int) -> None:
    services = (answering(name, code=503, status="down") if name in down else well(name) for name in SERVICES)
    async with gateway_over(*services) as client:
        assert (await client.get("/health/ready")).status_code == status
        assert (await client.get("/health")).json()["status"] == "degraded"


async def test_slow_services_are_asked_at_the_same_time_and_given_a_second() -> None:
    async with gateway_over(stuck("auth"), stuck("llm"), well("chat")) as client:
        started = time.monotonic()
        answer = await client.get("/health")
        took = time.monotonic() - started
    assert answer.json()["status"] == "degraded"
    assert 0.9 < took < 1.9


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/", "/docs", "/openapi.json"])
async def test_the_gateways_own_pages_need_no_token(path: str) -> None:
    async with gateway_over(well("auth"), well("llm"), well("chat")) as client:
        del client.headers["authorization"]
        assert (await client.get(path)).status_code == 200


async def test_a_crowd_that_asks_for_health_costs_the_services_one_answer() -> None:
    """Nobody is counted who asks for it, so it must be cheap. Not by sockets: all have to have asked before it ends."""
    asked = 0
    arrived, go = asyncio.Event(), asyncio.Event()
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        arrived.set()
        await go.wait()
        return {"status": "ok"}

    upstreams = Upstreams([InProcessUpstream("auth", app=app), well("llm"), well("chat")])
    async with upstreams.running():
        examination = Examination(upstreams)
        crowd = [asyncio.create_task(examination.answers()) for _ in range(20)]
        await arrived.wait()
        crowd[0].cancel()  # whoever leaves takes nothing from the others
        go.set()
        answers = await asyncio.gather(*crowd[1:])
        assert asked == 1
        assert {service.status for answer in answers for service in answer} == {"ok"}
        await examination.answers()
        assert asked == 2
