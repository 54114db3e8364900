"""A user who is logged in, and chat-service as a client of auth-service."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from auth_service.users.models import User
from shared.clients.auth import AuthClient
from shared.database import Sessions
from tests.auth_service.factories import make_user
from tests.auth_service.serving import add_login, calling, token_for


@dataclass(frozen=True)
class LoggedIn:
    user: User
    session_id: str
    token: str


@pytest.fixture
async def ana(auth_url: str, sessions: Sessions) -> LoggedIn:
    user = await make_user(sessions)
    session_id = await add_login(sessions, user)
    return LoggedIn(user, session_id, await token_for(sessions, user, source=session_id))


@pytest.fixture
async def chat(auth_url: str) -> AsyncIterator[AuthClient]:
    async with calling(auth_url) as client:
        yield client
