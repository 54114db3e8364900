"""The short way to a route tells what the long one does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from shared.database import tells_of_outages
from shared.errors import NotFound
from shared.express import Express
from shared.service import create_service
from shared.settings import ServiceSettings
from shared.upstreams import InProcessUpstream


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound(), 404), (PoolTimeout(), 503), (HTTPException(418), 418), (ClientDisconnect(), 499)],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else str(given),
)
async def test_an_error_is_told_as_on_the_long_way(error: Exception, status: int) -> None:
    async def fail(request: Request) -> Response:
        raise error

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        yield {"concerns": [], "needs_database": False}

    router = APIRouter()
    router.add_api_route("/long", fail)
    app = create_service(
        "test",
        summary="A test",
        settings=ServiceSettings.model_validate({"log_level": "error"}),
        lifespan=lifespan,
        routers=[router],
        middleware=[Middleware(Express, roads={("GET", "/short"): fail})],
    )
    upstream = InProcessUpstream("test", app=tells_of_outages(app))
    async with upstream.running():
        client = upstream.client()
        short, long = [await client.get(path, headers={"x-request-id": "same"}) for path in ("/short", "/long")]
    assert short.status_code == long.status_code == status
    assert short.headers.get("retry-after") == long.headers.get("retry-after")
    assert short.text.replace("/short", "/long") == long.text
