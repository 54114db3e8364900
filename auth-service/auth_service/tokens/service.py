"""Passwords and refresh tokens in, access tokens out."""

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import EVENT_ID, Origin, record
from auth_service.logins.service import Attempt, Logins
from auth_service.organizations.roles import ROLES
from auth_service.sessions.refresh_tokens import hash_of, is_well_formed
from auth_service.sessions.repository import find_session_of_token, lock_member
from auth_service.sessions.service import Families, NewLogin, end_login, end_reused
from auth_service.tokens.errors import InvalidGrant, InvalidScope, UnsupportedTokenType, WrongCredentials
from auth_service.tokens.issuer import CLIENT_ID, TokenIssuer
from auth_service.tokens.repository import Candidate, Login, add_login, find_candidate
from auth_service.tokens.schemas import LoginToken, RefreshRequest, TokenRequest
from auth_service.users.names import normalized
from auth_service.users.passwords import Passwords
from auth_service.users.repository import change_password_hash, find_member
from shared.auth import Principal, TokenVerifier
from shared.database import Sessions, autocommitting
from shared.errors import Unauthorized
from shared.ids import new_id


class TokenService:
    """Opens transactions of its own: none is open while a password is hashed, and what a refusal does is kept.

    Access tokens are signed before the commit that they need, and what they say is looked at again in it: a revocation
    that waits for it is later than they are, and one that was first lets it fail.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        passwords: Passwords,
        issuer: TokenIssuer,
        verifier: TokenVerifier,
        families: Families,
        logins: Logins,
    ) -> None:
        self._sessions = sessions
        self._autocommitting = autocommitting(sessions)
        self._passwords = passwords
        self._issuer = issuer
        self._verifier = verifier
        self._families = families
        self._logins = logins

    async def create(self, asked: TokenRequest, *, origin: Origin) -> LoginToken:
        """Raises WrongCredentials and LoginThrottled, without telling whether the user exists; InvalidScope."""
        refusal: InvalidScope | WrongCredentials | None = None
        async with self._logins.attempt(asked.username, origin=origin) as attempt:
            found = await self._find(asked.username)
            matches = await self._passwords.verify(asked.password, found.password_hash if found else None)
            if found is None or not matches or found.is_disabled:
                await (attempt.fail(found.user_id, organization_id=found.home_id) if found else attempt.fail())
                raise WrongCredentials
            try:
                answer = await self._log_in(found, asked, attempt=attempt)
            except (InvalidScope, WrongCredentials) as error:  # nothing is written yet; the password was right
                refusal = error
                async with self._sessions.begin() as session:
                    await attempt.succeed(session, found.user_id, organization_id=found.organization_id)
        await self._renew_hash(found, asked.password)
        if refusal is not None:
            raise refusal
        return answer

    async def refresh(self, asked: RefreshRequest, *, origin: Origin) -> LoginToken:
        """Raises InvalidGrant, after it has ended the session where the token was used before; InvalidScope."""
        if not is_well_formed(asked.refresh_token):
            raise InvalidGrant
        async with self._sessions.begin() as session:
            answer = await self._refresh(session, asked, origin=origin)
        if answer is None:
            raise InvalidGrant
        return answer

    async def revoke(self, token: str, *, origin: Origin) -> None:
        """Ends the session that an access or refresh token belongs to; does nothing where it belongs to none.

        Raises UnsupportedTokenType for the token of an API key.
        """
        if is_well_formed(token):
            async with self._sessions.begin() as session:
                login = await find_session_of_token(session, hash_of(token))
                if login is not None:
                    organization_id = login.organization_id
                    await end_login(
                        session, login.id, user_id=login.user_id, organization_id=organization_id, origin=origin
                    )
        elif (principal := await self._principal_of(token)) is not None:
            owner, organization_id = principal.user_id, principal.organization_id
            async with self._sessions.begin() as session:
                await end_login(
                    session, principal.session_id, user_id=owner, organization_id=organization_id, origin=origin
                )

    async def _log_in(self, found: Candidate, asked: TokenRequest, *, attempt: Attempt) -> LoginToken:
        """Raises WrongCredentials where the user was disabled, or got another password, since this one was verified.

        Raises InvalidScope. Has written nothing then.
        """
        organization_id = asked.organization_id or found.organization_id
        member: Candidate | None = found
        if organization_id != found.organization_id:
            member = await self._find_in(organization_id, found.user_id)
        while member is not None and self._is_still(member, found):
            scopes = narrowed(ROLES[member.role], asked.scope)
            new = self._families.start()
            token = self._issuer.issue(
                member.user_id, organization_id=organization_id, scopes=scopes, session_id=new.session_id
            )
            login = _login(member, new, asked, scopes=scopes, told=found.organization_id, attempt=attempt)
            async with self._autocommitting.connect() as connection:
                if await add_login(connection, login):
                    return LoginToken(**token.model_dump(), refresh_token=new.refresh_token)
            member = await self._find_in(organization_id, found.user_id)  # somebody has changed them meanwhile
        raise WrongCredentials

    async def _refresh(self, session: AsyncSession, asked: RefreshRequest, *, origin: Origin) -> LoginToken | None:
        raw = asked.refresh_token
        login = await find_session_of_token(session, hash_of(raw))
        if login is None:
            return None
        organization_id = asked.organization_id or login.organization_id
        member = await lock_member(session, login.user_id, organization_id=organization_id)
        family = await self._families.lock(session, raw, session_id=login.id)
        if family is None or not family.lasts:
            return None
        if family.is_reused:
            await end_reused(session, family, origin=origin)
            return None
        if login.client_id != (asked.client_id or CLIENT_ID):
            return None
        if member is None or member.user.disabled_at is not None:
            return None
        granted = ROLES[member.role] if login.scope is None else _both(ROLES[member.role], login.scope.split())
        scopes = narrowed(granted, asked.scope)
        if organization_id != login.organization_id:
            record(
                session,
                "session.switch",
                origin=origin,
                actor=login.user_id,
                organization_id=organization_id,
                target=login.id,
                left=login.organization_id,
            )
            login.organization_id = organization_id
        successor = await self._families.renew(session, family, raw, origin=origin)
        token = self._issuer.issue(
            login.user_id, organization_id=member.organization.id, scopes=scopes, session_id=login.id
        )
        return LoginToken(**token.model_dump(), refresh_token=successor)

    def _is_still(self, member: Candidate, found: Candidate) -> bool:
        """Enabled, with the same password; that an outdated hash was made anew is no change."""
        old, now = found.password_hash, member.password_hash
        if member.is_disabled or old is None or now is None:
            return False
        return now == old or self._passwords.is_outdated(old)

    async def _principal_of(self, token: str) -> Principal | None:
        """Raises UnsupportedTokenType, Unavailable."""
        try:
            principal = await self._verifier.verify(token)
        except Unauthorized:
            return None
        if not principal.is_login:
            raise UnsupportedTokenType("Only the tokens of logins are revoked here; revoke the API key itself.")
        return principal

    async def _find(self, username: str) -> Candidate | None:
        name = normalized(username)
        if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
            return None  # PostgreSQL keeps neither, so nobody is called that
        async with self._autocommitting.connect() as connection:
            return await find_candidate(connection, name)

    async def _find_in(self, organization_id: str, user_id: str) -> Candidate | None:
        async with self._sessions() as session:
            member = await find_member(session, user_id, organization_id=organization_id)
        return None if member is None else Candidate.of(member)

    async def _renew_hash(self, found: Candidate, password: str) -> None:
        old = found.password_hash
        if old is not None and self._passwords.is_outdated(old):
            new = await self._passwords.hash(password)
            async with self._sessions.begin() as session:
                await change_password_hash(session, found.user_id, old=old, new=new)


def _login(
    member: Candidate, new: NewLogin, asked: TokenRequest, *, scopes: Collection[str], told: str, attempt: Attempt
) -> Login:
    return Login(
        user_id=member.user_id,
        organization_id=member.organization_id,
        role=member.role,
        told_organization_id=told,
        password_hash=member.password_hash,
        session_id=new.session_id,
        client_id=asked.client_id or CLIENT_ID,
        scope=" ".join(scopes) if (asked.scope or "").split() else None,
        now=new.now,
        expires_at=new.expires_at,
        token_hash=hash_of(new.refresh_token),
        session_event=new_id(EVENT_ID),
        login_event=new_id(EVENT_ID),
        from_address=attempt.origin.address,
        user_agent=attempt.origin.user_agent,
        request_id=attempt.origin.request_id,
        account=attempt.throttled.account,
        address=attempt.throttled.address,
    )


def narrowed(allowed: Collection[str], asked: str | None) -> Collection[str]:
    """The scopes that `asked` names (RFC 6749 §3.3), all that are allowed where it names none. Raises InvalidScope."""
    if asked is None or not asked.split():
        return allowed
    wanted = dict.fromkeys(asked.split())
    if excess := [scope for scope in wanted if scope not in allowed]:
        raise InvalidScope(f"The user may not have: {', '.join(excess)}.")
    return list(wanted)


def _both(one: Collection[str], other: Collection[str]) -> list[str]:
    return [scope for scope in one if scope in other]
