"""The SQL of a login: what it comes to once the password is right."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TypedDict

from sqlalchemy import (
    CTE,
    BindParameter,
    DateTime,
    Insert,
    LargeBinary,
    Select,
    String,
    bindparam,
    insert,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from auth_service.audit.models import AuditEvent
from auth_service.logins.repository import forgetting_failures
from auth_service.organizations.models import Membership, Organization
from auth_service.sessions.models import LoginSession, RefreshToken
from auth_service.users.models import User
from auth_service.users.repository import Member


@dataclass(frozen=True, slots=True)
class Candidate:
    """A user in an organization of theirs, as far as a login asks; `home_id` is the one that they belong to."""

    user_id: str
    home_id: str
    password_hash: str | None
    is_disabled: bool
    organization_id: str
    role: str

    @classmethod
    def of(cls, member: Member) -> "Candidate":
        user = member.user
        return cls(
            user_id=user.id,
            home_id=user.organization_id,
            password_hash=user.password_hash,
            is_disabled=user.disabled_at is not None,
            organization_id=member.organization.id,
            role=member.role,
        )


class Login(TypedDict):
    """Who logs in, as they were found, and how; `account` and `address` are keys of throttles."""

    user_id: str
    organization_id: str
    role: str
    told_organization_id: str
    """The one whose admins read of it."""
    password_hash: str | None
    session_id: str
    client_id: str
    scope: str | None
    now: datetime
    expires_at: datetime
    token_hash: bytes
    session_event: str
    login_event: str
    from_address: str | None
    user_agent: str | None
    request_id: str | None
    account: bytes | None
    address: bytes | None


async def find_candidate(connection: AsyncConnection, username: str) -> Candidate | None:
    """The user of that normalised name, in the organization that they joined first."""
    row = (await connection.execute(_candidate(), {"username": username})).one_or_none()
    return None if row is None else Candidate(*row)


async def add_login(connection: AsyncConnection, login: Login) -> bool:
    """Session, refresh token, audit events, forgotten failures; none of it, and False, where the user has changed.

    Whoever changes the user or the membership waits until it is committed. It is one statement, because logins come in
    floods, and each round trip is time of the event loop's.
    """
    return await connection.scalar(_login(), login) is not None


@cache
def _candidate() -> Select[str, str, str | None, bool, str, str]:
    """Made once: to put it together takes longer than to run it."""
    return (
        select(
            User.id,
            User.organization_id,
            User.password_hash,
            User.disabled_at.is_not(None),
            Membership.organization_id,
            Membership.role,
        )
        .join(Membership, Membership.user_id == User.id)
        .where(User.username == _text("username"))
        .order_by(Membership.created_at, Membership.organization_id)
        .limit(1)
    )


@cache
def _login() -> Select[str]:
    """Made once: to put it together takes longer than to run it."""
    started = _session(_member()).returning(LoginSession.id).cte("started")
    token = insert(RefreshToken).from_select(
        ["token_hash", "session_id", "expires_at"],
        select(bindparam("token_hash", type_=LargeBinary), started.c.id, _moment("expires_at")),
    )
    events = _events(started)
    return select(started.c.id).add_cte(token.cte("token"), events.cte("events"), *forgetting_failures(started))


def _member() -> CTE:
    """The user in the organization, if they are still as they were found, locked as `lock_member` does."""
    return (
        select(User.id, Membership.organization_id)
        .join(Membership, Membership.user_id == User.id)
        .join(Organization, Organization.id == Membership.organization_id)
        .where(
            User.id == _text("user_id"),
            User.password_hash == _text("password_hash"),
            User.disabled_at.is_(None),
            Membership.organization_id == _text("organization_id"),
            Membership.role == _text("role"),
        )
        .with_for_update(read=True, of=[Organization, User, Membership])
        .cte("member")
    )


def _session(member: CTE) -> Insert:
    row = {
        "id": _text("session_id"),
        "user_id": member.c.id,
        "organization_id": member.c.organization_id,
        "client_id": _text("client_id"),
        "scope": _text("scope"),
        "address": _text("from_address"),
        "user_agent": _text("user_agent"),
        "created_at": _moment("now"),
        "last_used_at": _moment("now"),
        "expires_at": _moment("expires_at"),
    }
    return insert(LoginSession).from_select(list(row), select(*row.values()))


def _events(started: CTE) -> Insert:
    shared = {
        "actor": _text("user_id"),
        "result": literal("success"),
        "address": _text("from_address"),
        "user_agent": _text("user_agent"),
        "request_id": _text("request_id"),
    }
    created = {
        "id": _text("session_event"),
        "organization_id": _text("organization_id"),
        "action": literal("session.create"),
        "target": started.c.id,
    }
    succeeded = {
        "id": _text("login_event"),
        "organization_id": _text("told_organization_id"),
        "action": literal("login.success"),
        "target": literal(None, String),
    }
    rows = union_all(*(select(*(each | shared).values()).select_from(started) for each in (created, succeeded)))
    return insert(AuditEvent).from_select([*created, *shared], rows)


def _text(name: str) -> BindParameter[str]:
    return bindparam(name, type_=String)


def _moment(name: str) -> BindParameter[datetime]:
    return bindparam(name, type_=DateTime(timezone=True))
