"""auth-service, and an issuer that it trusts."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import httpx2
import jwt
import pytest

from auth_service.organizations.models import Organization
from auth_service.organizations.roles import ROLES
from shared.auth.exchange import EXCHANGE, FOREIGN_TOKEN
from shared.auth.services import service_authorization
from shared.database import Sessions
from tests.auth_service.conftest import StartAuth
from tests.auth_service.external.oidc import AUDIENCE, OidcProvider, provider
from tests.tokens import SECRET

ROLE_CLAIM = {"role_claim": "realm_access.roles", "roles": {"boss": "admin", "dev": "developer"}}


class Trusting(Protocol):
    def __call__(self, **entry: Any) -> AbstractAsyncContextManager[httpx2.AsyncClient]: ...


@pytest.fixture
async def issuer() -> AsyncIterator[OidcProvider]:
    async with provider() as running:
        yield running


@pytest.fixture
async def acme(sessions: Sessions) -> str:
    async with sessions.begin() as session:
        session.add(Organization(id="org_acme", name="Acme"))
    return "org_acme"


@pytest.fixture
def trusting(start_auth: StartAuth, issuer: OidcProvider, acme: str) -> Trusting:
    """Starts a replica that trusts the issuer; `entry` changes what its entry says."""

    @asynccontextmanager
    async def start(**entry: Any) -> AsyncIterator[httpx2.AsyncClient]:
        mapping = {"organization": acme, "default_role": "member"}
        given = {"issuer": issuer.url, "audience": AUDIENCE, **mapping, **entry}
        async with start_auth(oidc_issuers=[given]) as auth:
            yield auth

    return start


@pytest.fixture
async def auth(trusting: Trusting) -> AsyncIterator[httpx2.AsyncClient]:
    async with trusting(**ROLE_CLAIM) as client:
        yield client


async def exchange(auth: httpx2.AsyncClient, token: str) -> httpx2.Response:
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": FOREIGN_TOKEN}
    headers = {"authorization": service_authorization(SECRET, "gateway")}
    return await auth.post("/internal/auth/token", data=form, headers=headers)


async def claims_for(auth: httpx2.AsyncClient, token: str) -> dict[str, Any]:
    answer = await exchange(auth, token)
    assert answer.status_code == 200, answer.text
    claims: dict[str, Any] = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    return claims


async def is_refused(auth: httpx2.AsyncClient, token: str) -> bool:
    answer = await exchange(auth, token)
    return (answer.status_code, answer.json().get("code")) == (400, "subject_token_refused")


def scopes_of(role: str) -> set[str]:
    return set(ROLES[role])
