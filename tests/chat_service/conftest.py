"""chat-service on a real database, with a model that does as the test says."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import URL, text

from chat_service.main import create_app
from chat_service.settings import Settings
from shared.ids import new_id, uuid7_hex
from shared.upstreams import InProcessUpstream, Upstreams
from tests.chat_service.api import ChatApi
from tests.chat_service.fake_llm import FakeLlm
from tests.outage import server_of
from tests.tokens import SECRET, auth_stub

MakeApp = Callable[..., FastAPI]
StartChat = Callable[..., AbstractAsyncContextManager[ChatApi]]


@pytest.fixture(scope="session")
async def database_url(postgres: URL, template: URL) -> AsyncIterator[str]:
    """One database for all these tests: each speaks for users of its own, and they cannot meet."""
    name = f"test_chat_{uuid7_hex()}"
    async with server_of(postgres) as server:
        await server.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template.database}"'))
        yield postgres.set(database=name).render_as_string(hide_password=False)
        await server.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def llm() -> FakeLlm:
    return FakeLlm()


@pytest.fixture
def make_app(database_url: str, llm: FakeLlm) -> MakeApp:
    """Makes a replica that is not started yet."""

    def make(**settings: Any) -> FastAPI:
        app = create_app(Settings(**{"database_url": database_url, "secret_key": SECRET, **settings}))
        app.state.upstreams = Upstreams([auth_stub(), InProcessUpstream("llm", app=llm.app)])
        return app

    return make


@pytest.fixture
def start_chat(make_app: MakeApp) -> StartChat:
    """Runs a replica for as long as the block lasts; its client speaks for a user of its own."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[ChatApi]:
        chat = InProcessUpstream("chat", app=make_app(**settings))
        async with chat.running():
            yield ChatApi(chat.client(), user_id=new_id("usr"))

    return start


@pytest.fixture
async def chat(start_chat: StartChat) -> AsyncIterator[ChatApi]:
    async with start_chat() as api:
        yield api


@pytest.fixture
def unused_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
