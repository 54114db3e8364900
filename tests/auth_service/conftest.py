"""auth-service on a database of the test's own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from auth_service.main import create_app
from auth_service.settings import Settings
from shared.upstreams import InProcessUpstream
from tests.auth_service.serving import ServeAuth
from tests.serving import served
from tests.tokens import SECRET

ADMIN_PASSWORD = "a long enough password"

StartAuth = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def start_auth(database_url: str, tmp_path: Path) -> StartAuth:
    """Runs a replica for as long as the block lasts."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
        given = {"admin_password": ADMIN_PASSWORD, "secret_key": SECRET, "data_dir": tmp_path, **settings}
        auth = InProcessUpstream("auth", app=create_app(Settings(database_url=database_url, **given)))
        async with auth.running():
            yield auth.client()

    return start


@pytest.fixture
async def auth(start_auth: StartAuth) -> AsyncIterator[httpx2.AsyncClient]:
    async with start_auth() as client:
        yield client


@pytest.fixture
def serve_auth(database_url: str, tmp_path: Path) -> ServeAuth:
    """Runs a replica on a socket for as long as the block lasts; yields its address."""

    @asynccontextmanager
    async def serve(**settings: Any) -> AsyncIterator[str]:
        given = {"admin_password": ADMIN_PASSWORD, "secret_key": SECRET, "data_dir": tmp_path, **settings}
        async with served(create_app(Settings(database_url=database_url, **given))) as url:
            yield url

    return serve


@pytest.fixture
async def auth_url(serve_auth: ServeAuth) -> AsyncIterator[str]:
    async with serve_auth() as url:
        yield url
