"""auth-service on a socket, as the other services reach it, and tokens as it makes them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from auth_service.keys.sealing import Seal
from auth_service.keys.service import KeyRing
from auth_service.sessions.models import LoginSession
from auth_service.tokens.issuer import TokenIssuer
from auth_service.users.models import User
from shared.clients.auth import AuthClient
from shared.database import Sessions
from shared.ids import new_id
from shared.upstreams import HttpUpstream
from tests.tokens import ISSUER, SECRET

ServeAuth = Callable[..., AbstractAsyncContextManager[str]]
SCOPES = ("llm:read", "llm:invoke", "chat:read", "chat:write")


@asynccontextmanager
async def calling(url: str, *, service: str = "chat", secret: str = SECRET) -> AsyncIterator[AuthClient]:
    """auth-service as `service` calls it."""
    upstream = HttpUpstream("auth", url=url)
    async with upstream.running():
        yield AuthClient(upstream, secret=secret, service=service)


async def issuer_of(sessions: Sessions) -> TokenIssuer:
    """Makes tokens with the key of the auth-service that runs on this database."""
    ring = KeyRing(sessions, Seal(SECRET))
    await ring.load()
    return TokenIssuer(ring, issuer=ISSUER)


async def add_login(sessions: Sessions, user: User) -> str:
    """A session of that user; its id."""
    login = LoginSession(
        id=new_id("ses"),
        user_id=user.id,
        organization_id=user.organization_id,
        client_id="synapscale",
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    async with sessions.begin() as session:
        session.add(login)
    return login.id


async def token_for(sessions: Sessions, user: User, *, source: str, **claims: Any) -> str:
    """An access token of the user for that session, key or grant."""
    issuer = await issuer_of(sessions)
    given: dict[str, Any] = {"organization_id": user.organization_id, "scopes": SCOPES, **claims}
    return issuer.issue(user.id, session_id=source, **given).access_token
