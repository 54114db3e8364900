"""auth-service: who you are and what you may do."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from typing import Any

import httpx2
from fastapi import FastAPI

from auth_service.api_keys import routes as api_keys
from auth_service.api_keys.service import ApiKeyExchanger
from auth_service.audit import routes as audit
from auth_service.bootstrap import bootstrap
from auth_service.exchange import routes as exchange
from auth_service.exchange.service import TokenExchange
from auth_service.external.issuer import Issuer
from auth_service.external.service import ForeignTokenExchanger
from auth_service.grants import routes as grants
from auth_service.grants.service import GrantExchanger
from auth_service.idempotency import IdempotencyKey
from auth_service.invitations import routes as invitations
from auth_service.keeping import keeping
from auth_service.keys import routes as keys
from auth_service.keys.sealing import Seal
from auth_service.keys.service import KeyRing
from auth_service.logins.service import Logins
from auth_service.metadata import routes as metadata
from auth_service.metadata.schemas import ServerMetadata
from auth_service.organizations import routes as organizations
from auth_service.registrations import routes as registrations
from auth_service.revocations import routes as revocation_routes
from auth_service.revocations.service import OwnRevocations
from auth_service.service_accounts import routes as service_accounts
from auth_service.sessions import routes as session_routes
from auth_service.sessions.refresh_tokens import Succession
from auth_service.sessions.service import Families
from auth_service.settings import Settings
from auth_service.tokens import routes as token_routes
from auth_service.tokens.issuer import TokenIssuer
from auth_service.tokens.service import TokenService
from auth_service.users import routes as users
from auth_service.users.passwords import Passwords
from shared.auth import TokenVerifier
from shared.auth.exchange import API_KEY, FOREIGN_TOKEN, GRANT
from shared.auth.revocations import following
from shared.database import Sessions, database, tells_of_outages
from shared.idempotency import forgetting
from shared.service import create_service


def create_app(settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        secret = settings.root_secret()
        seal = Seal(secret)
        with closing(Passwords()) as passwords:
            async with database(settings.database_url) as sessions, forgetting(sessions, IdempotencyKey):
                await bootstrap(sessions, settings=settings, seal=seal, passwords=passwords)
                ring = KeyRing(sessions, seal)
                await ring.load()
                logins = Logins(sessions, secret=secret)
                issuer = TokenIssuer(ring, issuer=settings.public_url)
                async with (
                    following(OwnRevocations(sessions)) as revocations,
                    keeping(ring, sessions=sessions),
                    httpx2.AsyncClient(follow_redirects=False) as client,
                ):
                    verifier = TokenVerifier(ring, issuer=settings.public_url, revocations=revocations)
                    yield {
                        "secret": secret,
                        "sessions": sessions,
                        "key_ring": ring,
                        "revocations": revocations,
                        "verifier": verifier,
                        "tokens": TokenService(
                            sessions=sessions,
                            passwords=passwords,
                            issuer=issuer,
                            verifier=verifier,
                            families=families(settings, secret=secret),
                            logins=logins,
                        ),
                        "exchange": exchange_of(sessions, issuer, trusted=_trusted(settings, client)),
                        "passwords": passwords,
                        "logins": logins,
                        "registration": settings.registration,
                        "metadata": ServerMetadata.of(settings.public_url),
                    }

    service = create_service(
        "auth-service",
        summary="Who you are and what you may do",
        settings=settings,
        lifespan=lifespan,
        routers=[
            token_routes.router,
            session_routes.router,
            users.router,
            api_keys.router,
            audit.router,
            keys.router,
            metadata.router,
            exchange.router,
            grants.router,
            revocation_routes.router,
            registrations.router,
            service_accounts.router,
            organizations.router,
            invitations.router,
        ],
    )
    return tells_of_outages(service)


def families(settings: Settings, *, secret: str) -> Families:
    return Families(
        Succession(secret),
        idle=timedelta(days=settings.session_idle_days),
        longest=timedelta(days=settings.session_max_days),
    )


def exchange_of(sessions: Sessions, issuer: TokenIssuer, *, trusted: list[Issuer]) -> TokenExchange:
    """What a token of ours can be had for, beside a login."""
    return TokenExchange(
        {
            GRANT: GrantExchanger(sessions, issuer=issuer),
            API_KEY: ApiKeyExchanger(sessions, issuer=issuer),
            FOREIGN_TOKEN: ForeignTokenExchanger(sessions, issuer=issuer, trusted=trusted),
        }
    )


def _trusted(settings: Settings, client: httpx2.AsyncClient) -> list[Issuer]:
    loopback = settings.env == "development"
    return [Issuer(entry, client=client, loopback=loopback) for entry in settings.oidc_issuers]


def __getattr__(name: str) -> FastAPI:
    """`uvicorn auth_service.main:app` builds the app from the environment; importing this module does not."""
    if name == "app":
        return create_app(Settings())
    raise AttributeError(name)
