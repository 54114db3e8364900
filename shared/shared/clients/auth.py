"""auth-service, as the other services see it: its public keys, what it revoked, and tokens for grants."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx2
import msgspec
import structlog
from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

from shared.auth.exchange import EXCHANGE, GRANT
from shared.auth.revocations import Revocation, RevocationFeed, Revocations, following
from shared.auth.services import service_authorization
from shared.auth.tokens import ALGORITHM, KeySource, TokenVerifier
from shared.clients.problems import from_transport, raise_for_problem
from shared.errors import BadGateway, Unavailable
from shared.settings import ServiceSettings
from shared.upstreams import Upstream

log = structlog.get_logger(__name__)

FRESH_FOR = 300.0
"""Seconds for which fetched keys are taken as they are."""
ASK_AGAIN_AFTER = 5.0
"""Seconds between two fetches for keys that are not there, however many tokens name them."""
ASK_AGAIN_AFTER_FAILURE = 1.0
TIME_LIMIT = 5.0


class RemoteKeys(KeySource):
    """The JWKS of auth-service, fetched when needed and kept; old keys stay good while it cannot be reached.

    One fetch serves all who wait for it, and nobody waits for a key that is known.
    """

    def __init__(self, auth: Upstream) -> None:
        self._auth = auth
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = -FRESH_FOR
        self._next_fetch_at = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._failed = False

    async def find(self, kid: str) -> PyJWK | None:
        known = self._keys.get(kid)
        if known is None or time.monotonic() - self._fetched_at > FRESH_FOR:
            fetching = self._fetch_if_due()
            if known is None and fetching is not None:
                await asyncio.shield(fetching)  # who leaves does not end it for the others
                known = self._keys.get(kid)
        if known is None and self._failed:
            raise Unavailable("Tokens cannot be checked: auth-service does not answer.")
        return known

    def _fetch_if_due(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, or due now."""
        if self._fetching is None and time.monotonic() >= self._next_fetch_at:
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            response = await self._auth.client().get("/.well-known/jwks.json", timeout=TIME_LIMIT)
            response.raise_for_status()
            keys = PyJWKSet.from_dict(response.json()).keys
        except (httpx2.HTTPError, PyJWTError, ValueError) as error:
            log.warning("auth-service does not give its keys", error=repr(error))
            self._failed = True
            self._next_fetch_at = time.monotonic() + ASK_AGAIN_AFTER_FAILURE
        else:
            self._keys = {str(key.key_id): key for key in keys if key.algorithm_name == ALGORITHM}
            self._failed = False
            self._fetched_at = time.monotonic()
            self._next_fetch_at = self._fetched_at + ASK_AGAIN_AFTER
        finally:
            self._fetching = None


class RevocationPage(msgspec.Struct):
    data: list[Revocation]


class Grant(msgspec.Struct, frozen=True):
    """Leave to act for a user, kept by auth-service; its id is all that is needed to have tokens for it."""

    id: str
    scopes: list[str]
    expires_at: datetime


class ExchangedToken(msgspec.Struct, frozen=True):
    """`expires_in` in seconds."""

    access_token: str
    expires_in: int
    scope: str

    def __repr__(self) -> str:
        return f"ExchangedToken(expires_in={self.expires_in}, scope={self.scope!r})"


Answer = TypeVar("Answer")


class AuthClient(RevocationFeed):
    """Calls of one service, in its own name. All raise the service's own problem, Unavailable, GatewayTimeout or
    BadGateway."""

    def __init__(self, auth: Upstream, *, secret: str, service: str) -> None:
        self._auth = auth
        self._headers = {"authorization": service_authorization(secret, service)}

    async def revocations(self, *, after: int, limit: int) -> Sequence[Revocation]:
        query = {"after": after, "limit": limit}
        answer = await self._ask("GET", "/internal/auth/revocations", params=query)
        return _read(answer, RevocationPage).data

    async def make_grant(self, token: str, *, scopes: Iterable[str], life: timedelta) -> Grant:
        """`token` is the user's own; the grant can do at most what it can."""
        body = {"subject_token": token, "scopes": sorted(scopes), "life": int(life.total_seconds())}
        return _read(await self._ask("POST", "/internal/auth/grants", json=body), Grant)

    async def end_grant(self, grant_id: str) -> None:
        await self._ask("DELETE", f"/internal/auth/grants/{grant_id}")

    async def token_for_grant(self, grant_id: str, *, scopes: Iterable[str] = ()) -> ExchangedToken:
        """A token of five minutes for the user, with all of the grant's scopes where none is named.

        The problem `subject_token_refused` says that the grant, or what it rests on, has ended for good.
        """
        return await self.exchange(grant_id, kind=GRANT, scopes=scopes)

    async def exchange(self, subject_token: str, *, kind: str, scopes: Iterable[str] = ()) -> ExchangedToken:
        """What a credential of that kind (see `shared.auth.exchange`) is worth; `subject_token_refused`: nothing."""
        form = {"grant_type": EXCHANGE, "subject_token": subject_token, "subject_token_type": kind}
        if scope := " ".join(scopes):
            form["scope"] = scope
        return _read(await self._ask("POST", "/internal/auth/token", data=form), ExchangedToken)

    async def _ask(self, method: str, path: str, **request: Any) -> bytes:
        try:
            response = await self._auth.client().request(method, path, headers=self._headers, timeout=5, **request)
        except httpx2.HTTPError as error:
            raise from_transport(error, service="auth") from error
        await raise_for_problem(response, service="auth")
        return response.content


def _read(answer: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadGateway("The auth service gave an answer that cannot be read.") from error


@dataclass(frozen=True, slots=True)
class Identity:
    """What a service needs to know its callers, and to be known by auth-service."""

    verifier: TokenVerifier
    revocations: Revocations
    client: AuthClient = field(repr=False)


@asynccontextmanager
async def identity(auth: Upstream, *, settings: ServiceSettings, service: str) -> AsyncIterator[Identity]:
    """Verifies with auth-service's keys and follows its revocations, for as long as the block lasts."""
    client = AuthClient(auth, secret=settings.root_secret(), service=service)
    async with following(client) as revocations:
        verifier = TokenVerifier(RemoteKeys(auth), issuer=settings.public_url, revocations=revocations)
        yield Identity(verifier=verifier, revocations=revocations, client=client)
