"""The short road past the frameworks' outermost layers: it does what they would have done."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.service import create_service
from shared.settings import ServiceSettings
from shared.upstreams import InProcessUpstream
from tests.serving import served
from tests.tokens import SECRET

router = APIRouter()


@router.get("/api/broken")
async def broken() -> None:
    raise RuntimeError("a secret of ours")


@asynccontextmanager
async def nothing(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    yield {}


def service(*middleware: Middleware) -> FastAPI:
    settings = ServiceSettings(secret_key=SECRET)
    return create_service(
        "test", summary="", settings=settings, lifespan=nothing, routers=[router], middleware=middleware
    )


class PassingOn:
    def __init__(self, app: ASGIApp, *, to: InProcessUpstream) -> None:
        self.app, self.to = app, to

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.to.forward({**scope}, receive, send, answer_timeout=1)
        else:
            await self.app(scope, receive, send)


class InFront:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.mark.parametrize("road", ["short", "in process", "with a layer in front"])
async def test_what_nobody_expected_is_logged_once_and_told_as_a_problem_that_ends_the_connection(
    road: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = (
        service(Middleware(PassingOn, to=InProcessUpstream("test", app=service())))
        if road == "in process"
        else service()
    )
    if road == "with a layer in front":
        app.add_middleware(InFront)
    async with served(app) as url, httpx2.AsyncClient(base_url=url) as client:
        answer = await client.get("/api/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["connection"] == "close"
    assert answer.headers.get_list("x-request-id") == [answer.json()["request_id"]]
    assert capsys.readouterr().err.count('"event": "unexpected error"') == 1
