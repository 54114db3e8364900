"""Passwords in, access tokens out."""

from collections.abc import Collection

from auth_service.organizations.roles import ROLES
from auth_service.tokens.errors import InvalidScope, WrongCredentials
from auth_service.tokens.issuer import TokenIssuer
from auth_service.tokens.schemas import Token, TokenRequest
from auth_service.users import repository
from auth_service.users.names import normalized
from auth_service.users.passwords import Passwords
from auth_service.users.repository import Member
from shared.database import Sessions
from shared.ids import new_id


class TokenService:
    """Opens transactions of its own: none is open while a password is hashed."""

    def __init__(self, *, sessions: Sessions, passwords: Passwords, issuer: TokenIssuer) -> None:
        self._sessions = sessions
        self._passwords = passwords
        self._issuer = issuer

    async def create(self, asked: TokenRequest) -> Token:
        """Raises WrongCredentials, without telling whether the user exists; InvalidScope."""
        member = await self._find(asked.username)
        matches = await self._passwords.verify(asked.password, member.user.password_hash if member else None)
        if member is None or not matches or member.user.disabled_at is not None:
            raise WrongCredentials
        await self._renew_hash(member, asked.password)
        return self._issuer.issue(
            member.user.id,
            organization_id=member.organization.id,
            scopes=narrowed(ROLES[member.role], asked.scope),
            session_id=new_id("ses"),
        )

    async def _find(self, username: str) -> Member | None:
        name = normalized(username)
        if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
            return None  # PostgreSQL keeps neither, so nobody is called that
        async with self._sessions() as session:
            return await repository.find_by_username(session, name)

    async def _renew_hash(self, member: Member, password: str) -> None:
        old = member.user.password_hash
        if old is not None and self._passwords.is_outdated(old):
            new = await self._passwords.hash(password)
            async with self._sessions.begin() as session:
                await repository.change_password_hash(session, member.user.id, old=old, new=new)


def narrowed(allowed: Collection[str], asked: str | None) -> Collection[str]:
    """The scopes that `asked` names (RFC 6749 §3.3), all that are allowed where it names none. Raises InvalidScope."""
    if asked is None or not asked.split():
        return allowed
    wanted = dict.fromkeys(asked.split())
    if excess := [scope for scope in wanted if scope not in allowed]:
        raise InvalidScope(f"The user may not have: {', '.join(excess)}.")
    return list(wanted)
