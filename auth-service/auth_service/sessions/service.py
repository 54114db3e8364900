"""Logins that last: how they start, are renewed, seen and ended."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import Origin, record
from auth_service.revocations.service import revoke
from auth_service.sessions import repository
from auth_service.sessions.errors import SessionNotFound
from auth_service.sessions.models import LoginSession, RefreshToken
from auth_service.sessions.refresh_tokens import Succession, hash_of, new_refresh_token
from auth_service.sessions.schemas import SessionView
from shared.auth import Principal
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor

SESSION_ID = "ses"
_WELL_FORMED_ID = re.compile(SESSION_ID + r"_[0-9a-f]{32}")

GRACE = timedelta(seconds=10)
"""How long a used refresh token still gets its successor: answers are lost, and browser tabs ask at the same time."""


@dataclass(frozen=True, slots=True)
class Family:
    """A session and the one of its refresh tokens that was shown, both locked, and the time."""

    login: LoginSession
    token: RefreshToken
    now: datetime

    @property
    def lasts(self) -> bool:
        """Unused refresh tokens expire with it."""
        return self.login.revoked_at is None and self.login.expires_at > self.now

    @property
    def is_reused(self) -> bool:
        """The token was used, and not just now: somebody who should not have it has it."""
        return self.token.used_at is not None and self.now - self.token.used_at > GRACE


@dataclass(frozen=True, slots=True)
class NewLogin:
    """A session that is to begin, and its first refresh token."""

    session_id: str
    refresh_token: str
    now: datetime
    expires_at: datetime


class Families:
    """Refresh tokens of one login descend from each other: one is good at a time.

    `idle` is how long a login lasts unused, `longest` how long it lasts however much it is used.
    """

    def __init__(self, succession: Succession, *, idle: timedelta, longest: timedelta) -> None:
        self._succession = succession
        self._idle = idle
        self._longest = longest

    def start(self) -> NewLogin:
        now = datetime.now(UTC)
        return NewLogin(new_id(SESSION_ID), new_refresh_token(), now=now, expires_at=self._end(now, since=now))

    async def lock(self, session: AsyncSession, raw: str, *, session_id: str) -> Family | None:
        found = await repository.lock_family(session, session_id, token_hash=hash_of(raw))
        return None if found is None else Family(*found)

    async def renew(self, session: AsyncSession, family: Family, raw: str, *, origin: Origin) -> str:
        """The successor of the token `raw`: made now, or given once more."""
        successor = self._succession.successor_of(raw)
        if family.token.used_at is None:
            login, now = family.login, family.now
            login.last_used_at = now
            login.expires_at = self._end(now, since=login.created_at)
            login.address, login.user_agent = origin.address, origin.user_agent
            await repository.replace_refresh_token(session, family.token, by=_row(successor, login), at=now)
        return successor

    def _end(self, now: datetime, *, since: datetime) -> datetime:
        return min(now + self._idle, since + self._longest)


def _row(raw: str, login: LoginSession) -> RefreshToken:
    return RefreshToken(token_hash=hash_of(raw), session_id=login.id, expires_at=login.expires_at)


async def end_reused(session: AsyncSession, family: Family, *, origin: Origin) -> None:
    """Ends the whole family: of two who hold the same token one is a thief, and nobody can tell which."""
    login = family.login
    login.revoked_at = family.now
    record(
        session,
        "session.reuse_detected",
        origin=origin,
        actor=login.user_id,
        organization_id=login.organization_id,
        target=login.id,
        result="failure",
    )
    await session.flush()
    await revoke(session, login.id)


async def end_login(
    session: AsyncSession, session_id: str, *, user_id: str, organization_id: str, origin: Origin
) -> bool:
    """Whether it was one of the user's that lasted until now."""
    if not await repository.end_session(session, session_id, user_id=user_id):
        return False
    record(session, "session.end", origin=origin, actor=user_id, organization_id=organization_id, target=session_id)
    await session.flush()
    await revoke(session, session_id)
    return True


async def end_logins(
    session: AsyncSession, user_id: str, *, organization_id: str | None = None, but: str | None = None
) -> int:
    """All of the user's, or those in one organization, but the one of that id; how many there were.

    For whoever disables or deletes a user, changes their password or ends a membership: what is ended here stays
    ended when the user comes back. Records nothing; do it last in a transaction (see `revoke`).
    """
    ended = await repository.end_sessions(session, user_id, organization_id=organization_id, but=but)
    await revoke(session, *ended)
    return len(ended)


class SessionService:
    """What users may see and end: their own sessions, in whatever organization they are."""

    def __init__(self, session: AsyncSession, *, origin: Origin) -> None:
        self._session = session
        self._origin = origin

    async def list(self, owner: Principal, *, limit: int, cursor: str | None) -> Page[SessionView]:
        before = None if cursor is None else decode_cursor(cursor, parts=1)[0]
        found = await repository.list_sessions(self._session, owner.user_id, before=before, limit=limit + 1)
        shown = found[:limit]
        next_cursor = encode_cursor(shown[-1].id) if len(found) > limit else None
        return Page(data=[SessionView.of(each, current=owner.session_id) for each in shown], next_cursor=next_cursor)

    async def log_out(self, owner: Principal) -> None:
        """Does nothing where the session has ended already."""
        await self._end(owner, owner.session_id)

    async def end(self, owner: Principal, session_id: str) -> None:
        """Raises SessionNotFound."""
        if not _WELL_FORMED_ID.fullmatch(session_id) or not await self._end(owner, session_id):
            raise SessionNotFound

    async def end_all(self, owner: Principal, *, keep_current: bool) -> None:
        record(self._session, "session.end_all", origin=self._origin, by=owner, keep_current=keep_current)
        await self._session.flush()
        await end_logins(self._session, owner.user_id, but=owner.session_id if keep_current else None)

    async def _end(self, owner: Principal, session_id: str) -> bool:
        return await end_login(
            self._session,
            session_id,
            user_id=owner.user_id,
            organization_id=owner.organization_id,
            origin=self._origin,
        )
