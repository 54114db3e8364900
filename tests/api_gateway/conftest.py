"""The gateway on a real socket, over services in this process or behind sockets of their own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api_gateway.main import create_app
from api_gateway.settings import Settings
from shared.connection import LIMITS, Limits
from shared.upstreams import HttpUpstream, InProcessUpstream, Upstream, Upstreams
from tests.api_gateway.puppet import Puppet
from tests.redis_server import RedisServer, running_redis
from tests.serving import served
from tests.tokens import SECRET, auth_stub, bearer

Gateway = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@asynccontextmanager
async def gateway_over(
    *upstreams: Upstream, limits: Limits = LIMITS, **settings: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a running gateway, with a token that may do everything."""
    app = create_app(Settings(**{"secret_key": SECRET, **settings}))
    app.state.upstreams = Upstreams(upstreams)
    async with (
        served(app, limits=limits) as url,
        httpx2.AsyncClient(base_url=url, headers=bearer(), timeout=10) as client,
    ):
        yield client


def silent_service(name: str) -> InProcessUpstream:
    return InProcessUpstream(name, app=FastAPI(openapi_url=None))


@pytest.fixture
def puppet() -> Puppet:
    return Puppet()


@pytest.fixture(params=["in process", "over http"])
def gateway(request: Any, puppet: Puppet) -> Gateway:
    """Opens a gateway whose llm service is the puppet; both kinds of upstream have to behave the same."""

    @asynccontextmanager
    async def open_gateway(**settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
        async with AsyncExitStack() as stack:
            llm: Upstream = InProcessUpstream("llm", app=puppet.app)
            if request.param == "over http":
                llm = HttpUpstream("llm", url=await stack.enter_async_context(served(puppet.app)))
            opened = gateway_over(auth_stub(), llm, silent_service("chat"), **settings)
            yield await stack.enter_async_context(opened)

    return open_gateway


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server
