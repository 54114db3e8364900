"""Leave to act for a user, and the short tokens that it is worth."""

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.api_keys.models import ApiKey
from auth_service.api_keys.schemas import policy_of
from auth_service.audit.service import Origin, record
from auth_service.exchange.errors import SubjectTokenRefused
from auth_service.exchange.schemas import ExchangeRequest
from auth_service.exchange.service import Exchanger
from auth_service.grants import repository
from auth_service.grants.errors import GrantNotFound
from auth_service.grants.models import Grant
from auth_service.grants.schemas import GrantCreate, GrantView
from auth_service.organizations.roles import ROLES
from auth_service.revocations.service import revoke
from auth_service.tokens.errors import InvalidScope
from auth_service.tokens.issuer import TokenIssuer
from auth_service.tokens.schemas import Token
from auth_service.tokens.service import narrowed
from shared.auth import Principal, TokenVerifier
from shared.auth.policy import UNLIMITED
from shared.database import Sessions
from shared.errors import Unauthorized
from shared.ids import new_id

LIFE_OF_A_TOKEN = 5 * 60
"""Seconds."""
SWEPT = 100
"""Grants that have expired and are deleted by whoever makes one."""
GRANT_ID = re.compile(r"gnt_[0-9a-f]{32}")
UNKNOWN = "There is no such grant, or it has ended."


class GrantService:
    """Makes and ends the grants of the service that calls."""

    def __init__(self, session: AsyncSession, *, verifier: TokenVerifier) -> None:
        self._session = session
        self._verifier = verifier

    async def create(self, asked: GrantCreate, *, service: str, origin: Origin) -> GrantView:
        """Raises SubjectTokenRefused, InvalidScope."""
        user = await self._user_of(asked.subject_token)
        if excess := sorted(set(asked.scopes) - user.scopes):
            raise InvalidScope(f"The user's token does not have: {', '.join(excess)}.")
        grant = Grant(
            id=new_id("gnt"),
            service=service,
            user_id=user.user_id,
            organization_id=user.organization_id,
            source=user.session_id,
            scopes=sorted(set(asked.scopes)),
            expires_at=datetime.now(UTC) + timedelta(seconds=asked.life),
        )
        if not await repository.lock_source(
            self._session, user.session_id, user_id=user.user_id, organization_id=user.organization_id
        ):
            raise SubjectTokenRefused("The login or the API key of the access token has ended.")
        await repository.delete_expired_grants(self._session, at_most=SWEPT)
        await repository.add_grant(self._session, grant)
        record(
            self._session,
            "grant.create",
            origin=origin,
            by=user,
            target=grant.id,
            service=service,
            source=grant.source,
            scopes=grant.scopes,
        )
        return GrantView.of(grant)

    async def end(self, grant_id: str, *, service: str, origin: Origin) -> None:
        """Raises GrantNotFound."""
        grant = None
        if GRANT_ID.fullmatch(grant_id):
            grant = await repository.find_grant(self._session, grant_id, service=service)
        if grant is None:
            raise GrantNotFound(UNKNOWN)
        record(
            self._session,
            "grant.revoke",
            origin=origin,
            actor=actor_of(service),
            organization_id=grant.organization_id,
            target=grant.id,
        )
        await revoke(self._session, grant.id)

    async def _user_of(self, token: str) -> Principal:
        try:
            user = await self._verifier.verify(token)
        except Unauthorized as error:  # the service's own credential is good: this is about what it brings
            raise SubjectTokenRefused(error.detail) from None
        if user.actor is not None:
            raise SubjectTokenRefused("A grant is made with the user's own token, not with one for another grant.")
        return user


class GrantExchanger(Exchanger):
    """A grant's id for a token of five minutes, with what the user may do today."""

    def __init__(self, sessions: Sessions, *, issuer: TokenIssuer) -> None:
        self._sessions = sessions
        self._issuer = issuer

    async def exchange(
        self,
        asked: ExchangeRequest,
        *,
        service: str,
        origin: Origin,  # noqa: ARG002 # the grant is in the audit; a line every five minutes would bury the rest
    ) -> Token:
        if not GRANT_ID.fullmatch(asked.subject_token):
            raise SubjectTokenRefused(UNKNOWN)
        async with self._sessions.begin() as session:
            leave = await repository.find_leave(session, asked.subject_token, service=service)
            if leave is None:
                raise SubjectTokenRefused(UNKNOWN)
            return self._issue(leave, asked.scope)

    def _issue(self, leave: repository.Leave, scope: str | None) -> Token:
        grant, key = leave.grant, leave.key
        may = set(ROLES[leave.role]) if key is None else set(ROLES[leave.role]) & set(key.scopes)
        return self._issuer.issue(
            grant.user_id,
            organization_id=grant.organization_id,
            scopes=narrowed([each for each in grant.scopes if each in may], scope),
            session_id=grant.id,
            life=_life(grant, key),
            policy=UNLIMITED if key is None else policy_of(key),
            actor=actor_of(grant.service),
        )


def actor_of(service: str) -> str:
    return f"service:{service}"


def _life(grant: Grant, key: ApiKey | None) -> int:
    """No token outlives what it rests on."""
    ends = [each.expires_at for each in (grant, key) if each is not None and each.expires_at is not None]
    left = int((min(ends) - datetime.now(UTC)).total_seconds())
    return max(1, min(LIFE_OF_A_TOKEN, left))
