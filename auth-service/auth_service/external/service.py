"""A token of another issuer for one of ours: whoever is seen first is made a user, as the issuer's entry says."""

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jwt
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import Origin, record
from auth_service.exchange.errors import SubjectTokenRefused
from auth_service.exchange.schemas import ExchangeRequest
from auth_service.exchange.service import Exchanger
from auth_service.external import repository
from auth_service.external.issuer import Issuer
from auth_service.external.repository import Subject
from auth_service.external.schemas import OidcIssuer
from auth_service.organizations.repository import change_role
from auth_service.organizations.roles import ROLES
from auth_service.revocations.service import revoke
from auth_service.sessions.models import LoginSession
from auth_service.tokens.issuer import LIFE, TokenIssuer
from auth_service.tokens.schemas import Token
from auth_service.tokens.service import narrowed
from auth_service.users.models import User
from auth_service.users.names import normalized
from auth_service.users.repository import is_last_owner, lock_owners
from shared.database import Sessions
from shared.ids import new_id

LONGEST_NAME = 100
"""Of a username's beginning; what makes it unique is added."""
LONGEST_EMAIL = 254
ATTEMPTS = 5


class ForeignTokenExchanger(Exchanger):
    """Never links by name or e-mail: an account is another issuer's only if that issuer's token made it."""

    def __init__(self, sessions: Sessions, *, issuer: TokenIssuer, trusted: Sequence[Issuer]) -> None:
        self._sessions = sessions
        self._issuer = issuer
        self._trusted = {each.trusted.issuer: each for each in trusted}

    async def exchange(self, asked: ExchangeRequest, *, service: str, origin: Origin) -> Token:  # noqa: ARG002 # any of our services may ask
        """Raises SubjectTokenRefused, InvalidScope, and Unavailable where the issuer's keys cannot be had."""
        token = asked.subject_token
        issuer = self._trusted.get(_unverified_issuer(token))
        if issuer is None:
            raise SubjectTokenRefused("The issuer of the token is not trusted here.")
        claims = await issuer.claims_of(token)
        life = min(LIFE, int(claims["exp"] - time.time()))
        if life <= 0:
            raise SubjectTokenRefused("The token of the other issuer does not hold.")
        subject, role = _place_of(claims, trusted=issuer.trusted)
        async with self._sessions.begin() as session:
            user, allowed = await self._user(
                session, subject, role=role, claims=claims, trusted=issuer.trusted, origin=origin
            )
            login = _login(token, user=user, subject=subject, claims=claims, origin=origin)
            if await repository.add_session(session, login):
                _record(session, "session.create", user, subject=subject, origin=origin, target=login.id)
            if not await repository.lock_session(session, login):
                raise SubjectTokenRefused("The login that the token was made for has been ended here.")
            return self._issuer.issue(
                user.id,
                organization_id=subject.organization_id,
                scopes=narrowed(allowed, asked.scope),
                session_id=login.id,
                life=life,
            )

    async def _user(
        self,
        session: AsyncSession,
        subject: Subject,
        *,
        role: str,
        claims: Mapping[str, Any],
        trusted: OidcIssuer,
        origin: Origin,
    ) -> tuple[User, Sequence[str]]:
        """And what they may: no more than their role here allows, and no more than the token's claims do."""
        await repository.lock_subject(session, subject)
        known = await repository.find_user(session, subject)
        if known is None:
            user = await _provision(session, subject, role=role, claims=claims, trusted=trusted, origin=origin)
            return user, ROLES[role]
        issued_at = int(claims["iat"])
        changes = known.role != role and issued_at >= known.claims_issued_at  # an older token tells how it was
        if changes:
            await lock_owners(session)
        known = await repository.find_user(session, subject, lock=True)
        if known is None or known.user.disabled_at is not None or known.role is None:
            raise SubjectTokenRefused("The user is disabled, or does not belong to the organization any more.")
        if issued_at > known.claims_issued_at:
            await repository.follow_claims(session, subject, issued_at=issued_at)
        present = known.role
        if changes and present != role:
            present = await _change_role(session, known.user, present, subject=subject, role=role, origin=origin)
        return known.user, [scope for scope in ROLES[role] if scope in ROLES[present]]


async def _change_role(
    session: AsyncSession, user: User, present: str, *, subject: Subject, role: str, origin: Origin
) -> str:
    """The role that they have then: an organization's last owner stays one. A lower role ends what was made before."""
    organization_id = subject.organization_id
    if present == "owner" and await is_last_owner(session, user.id, organization_id=organization_id):
        return present
    await change_role(session, user.id, organization_id=organization_id, role=role)
    _record(session, "member.change_role", user, subject=subject, origin=origin, role=role, was=present)
    if list(ROLES).index(role) > list(ROLES).index(present):  # the strongest stands first
        await session.flush()
        await revoke(session, f"{user.id}/{organization_id}")
    return role


async def _provision(
    session: AsyncSession,
    subject: Subject,
    *,
    role: str,
    claims: Mapping[str, Any],
    trusted: OidcIssuer,
    origin: Origin,
) -> User:
    if not await repository.organization_exists(session, subject.organization_id):
        raise SubjectTokenRefused("The organization of the token does not exist.")
    name = _storable(trusted.username_of(claims) or subject.subject)[:LONGEST_NAME] or "user"
    email: str | None = _storable(trusted.email_of(claims) or "")
    if not email or len(email) > LONGEST_EMAIL or await repository.email_exists(session, email):
        email = None
    for attempt in range(ATTEMPTS):
        user = User(
            id=new_id("usr"),
            organization_id=subject.organization_id,
            username=f"{name}-{secrets.token_hex(4)}" if attempt else name,
            email=email if attempt < ATTEMPTS - 1 else None,
        )
        if await repository.add_external_user(
            session, user, subject=subject, role=role, claims_issued_at=int(claims["iat"])
        ):
            _record(session, "user.create", user, subject=subject, origin=origin, role=role)
            return user
    raise SubjectTokenRefused("The user cannot be made just now.")


def _place_of(claims: Mapping[str, Any], *, trusted: OidcIssuer) -> tuple[Subject, str]:
    """Raises SubjectTokenRefused where the claims lead to no organization or no role."""
    organization_id, role = trusted.organization_of(claims), trusted.role_of(claims)
    if organization_id is None or role is None:
        raise SubjectTokenRefused("The token gives its user no organization or no role here.")
    return Subject(issuer=trusted.issuer, subject=claims["sub"], organization_id=organization_id), role


def _login(token: str, *, user: User, subject: Subject, claims: Mapping[str, Any], origin: Origin) -> LoginSession:
    """One for each token: it can be listed and ended like a login here, and with it what rests on it."""
    return LoginSession(
        id="ses_" + hashlib.sha256(f"{user.id}\n{token}".encode()).hexdigest()[:32],
        user_id=user.id,
        organization_id=subject.organization_id,
        client_id=subject.issuer,
        address=origin.address,
        user_agent=origin.user_agent,
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )


def _record(
    session: AsyncSession,
    action: str,
    user: User,
    *,
    subject: Subject,
    origin: Origin,
    target: str | None = None,
    **details: Any,
) -> None:
    """`target` is the user where it is nobody else."""
    record(
        session,
        action,
        origin=origin,
        actor=user.id,
        organization_id=subject.organization_id,
        target=target or user.id,
        issuer=subject.issuer,
        **details,
    )


def _storable(text: str) -> str:
    """PostgreSQL keeps neither NUL nor lone surrogates."""
    return normalized("".join(c for c in text if c.isprintable() and not "\ud800" <= c <= "\udfff"))


def _unverified_issuer(token: str) -> str:
    """Good for nothing but to choose whose keys shall check it."""
    try:
        return str(jwt.decode(token, options={"verify_signature": False})["iss"])
    except (jwt.PyJWTError, KeyError, ValueError, TypeError):
        return ""
