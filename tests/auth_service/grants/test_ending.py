"""A grant ends with what it was made with, and so do the tokens that were given for it."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import jwt
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.api_keys.models import ApiKey
from auth_service.grants.models import Grant
from auth_service.revocations.models import Revocation
from auth_service.revocations.service import revoke
from auth_service.sessions.models import LoginSession
from auth_service.users.models import User
from shared.clients.auth import AuthClient
from shared.clients.problems import ProblemFromService
from shared.database import Sessions
from shared.ids import new_id
from tests.auth_service.calling import until_somebody_waits
from tests.auth_service.grants.conftest import LoggedIn
from tests.auth_service.serving import add_login, token_for

HOUR = timedelta(hours=1)
READ = ["llm:read"]


async def make_key(sessions: Sessions, user: User, **columns: Any) -> str:
    key_id = new_id("key")
    given = {"name": "ci", "key_hash": key_id.encode(), "last_four": "abcd", "scopes": ["llm:read", "llm:invoke"]}
    async with sessions.begin() as session:
        session.add(ApiKey(id=key_id, organization_id=user.organization_id, user_id=user.id, **{**given, **columns}))
    return key_id


async def set_session_revoked(session: AsyncSession, session_id: str) -> None:
    await session.execute(update(LoginSession).where(LoginSession.id == session_id).values(revoked_at=func.now()))


async def is_refused(chat: AuthClient, grant_id: str) -> bool:
    try:
        await chat.token_for_grant(grant_id)
    except ProblemFromService as problem:
        if problem.code != "subject_token_refused":
            raise
        return True
    return False


async def subjects(sessions: Sessions) -> set[str]:
    async with sessions() as session:
        return set(await session.scalars(select(Revocation.subject)))


async def ends_within_five_seconds(auth_url: str, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=auth_url) as auth, asyncio.timeout(5):
        while (await auth.get("/api/auth/me", headers=headers)).status_code != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_an_ended_session_ends_its_grants_and_their_tokens(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions, auth_url: str
) -> None:
    grant = await chat.make_grant(ana.token, scopes=READ, life=HOUR)
    elsewhere = await add_login(sessions, ana.user)
    other = await chat.make_grant(await token_for(sessions, ana.user, source=elsewhere), scopes=READ, life=HOUR)
    given = await chat.token_for_grant(grant.id)
    async with sessions.begin() as session:
        await revoke(session, ana.session_id)
    assert await is_refused(chat, grant.id)
    assert await subjects(sessions) == {ana.session_id, grant.id}
    await ends_within_five_seconds(auth_url, given.access_token)
    assert not await is_refused(chat, other.id)


async def test_an_ended_user_ends_all_their_grants_without_naming_each_in_the_feed(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions, auth_url: str
) -> None:
    grants = [await chat.make_grant(ana.token, scopes=READ, life=HOUR) for _ in range(3)]
    given = await chat.token_for_grant(grants[0].id)
    async with sessions.begin() as session:
        await revoke(session, ana.user.id)
    assert all([await is_refused(chat, grant.id) for grant in grants])
    assert await subjects(sessions) == {ana.user.id}
    await ends_within_five_seconds(auth_url, given.access_token)


async def test_an_ended_membership_ends_only_the_grants_in_that_organization(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions
) -> None:
    grant = await chat.make_grant(ana.token, scopes=READ, life=HOUR)
    async with sessions.begin() as session:
        await revoke(session, f"{ana.user.id}/org_other")
    assert not await is_refused(chat, grant.id)
    async with sessions.begin() as session:
        await revoke(session, f"{ana.user.id}/{ana.user.organization_id}")
    assert await is_refused(chat, grant.id)


async def test_a_session_that_is_marked_as_ended_is_enough(ana: LoggedIn, chat: AuthClient, sessions: Sessions) -> None:
    """Whoever ends a session also tells the feed; should it be forgotten, the grants end all the same."""
    grant = await chat.make_grant(ana.token, scopes=READ, life=HOUR)
    async with sessions.begin() as session:
        await set_session_revoked(session, ana.session_id)
    assert await is_refused(chat, grant.id)
    with pytest.raises(ProblemFromService, match="has ended"):
        await chat.make_grant(ana.token, scopes=READ, life=HOUR)


async def test_a_session_that_has_expired_and_was_swept_away_leaves_its_grants(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions
) -> None:
    """Work may outlive a login; what the user has ended, it may not."""
    grant = await chat.make_grant(ana.token, scopes=READ, life=HOUR)
    async with sessions.begin() as session:
        login = await session.get_one(LoginSession, ana.session_id)
        await session.delete(login)
    assert not await is_refused(chat, grant.id)


@pytest.mark.parametrize("source", ["", "ses_1", "gnt_1", "key_1", "somebody else's"])
async def test_no_grant_is_made_for_a_login_that_the_database_does_not_know(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions, source: str
) -> None:
    source = source or new_id("ses")
    with pytest.raises(ProblemFromService, match="has ended"):
        await chat.make_grant(await token_for(sessions, ana.user, source=source), scopes=READ, life=HOUR)


@pytest.mark.parametrize("end", [{"revoked_at": datetime.now(UTC)}, {"expires_at": datetime.now(UTC)}])
async def test_a_key_that_was_revoked_or_has_expired_ends_its_grants(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions, end: dict[str, Any]
) -> None:
    key = await make_key(sessions, ana.user)
    grant = await chat.make_grant(await token_for(sessions, ana.user, source=key), scopes=READ, life=HOUR)
    assert not await is_refused(chat, grant.id)
    async with sessions.begin() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == key).values(**end))
    assert await is_refused(chat, grant.id)


async def test_a_keys_limits_and_scopes_bind_its_grants_as_they_are_today(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions
) -> None:
    key = await make_key(
        sessions, ana.user, allowed_models=["echo"], tokens_per_minute=100, budget_usd=Decimal("1.50"),
        budget_period="day", expires_at=datetime.now(UTC) + timedelta(seconds=90),
    )  # fmt: skip
    token = await token_for(sessions, ana.user, source=key)
    grant = await chat.make_grant(token, scopes=["llm:read", "llm:invoke"], life=HOUR)
    async with sessions.begin() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == key).values(scopes=READ))
    given = await chat.token_for_grant(grant.id)
    claims = jwt.decode(given.access_token, options={"verify_signature": False})
    assert claims["policy"] == {
        "models": ["echo"],
        "tokens_per_minute": 100,
        "budget": {"usd": "1.50", "period": "day"},
        "key": key,
    }
    assert given.scope == "llm:read"
    assert given.expires_in <= 90


async def test_the_service_ends_its_own_grant_once(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions, auth_url: str
) -> None:
    grant = await chat.make_grant(ana.token, scopes=READ, life=HOUR)
    given = await chat.token_for_grant(grant.id)
    await chat.end_grant(grant.id)
    assert await is_refused(chat, grant.id)
    await ends_within_five_seconds(auth_url, given.access_token)
    for grant_id in (grant.id, "gnt_1", "%00", "x" * 5000):
        with pytest.raises(ProblemFromService) as caught:
            await chat.end_grant(grant_id)
        assert (caught.value.status, caught.value.code) == (404, "grant_not_found")


async def test_a_grant_made_while_its_session_ends_does_not_survive_it(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions
) -> None:
    """The row of the session is held by whoever ends it: the grant waits, and then is refused."""
    async with sessions.begin() as session:
        await set_session_revoked(session, ana.session_id)
        making = asyncio.create_task(chat.make_grant(ana.token, scopes=READ, life=HOUR))
        await until_somebody_waits(sessions)
        await revoke(session, ana.session_id)
    with pytest.raises(ProblemFromService, match="has ended"):
        await making
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Grant)) == 0


async def test_a_token_asked_for_while_the_grant_ends_is_not_given(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions
) -> None:
    grant = await chat.make_grant(ana.token, scopes=READ, life=HOUR)
    async with sessions.begin() as session:
        await revoke(session, ana.session_id)
        asking = asyncio.create_task(is_refused(chat, grant.id))
        await until_somebody_waits(sessions)
    assert await asking


async def test_many_revocations_and_exchanges_at_once_neither_fail_nor_leave_a_token(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions
) -> None:
    grants = [await chat.make_grant(ana.token, scopes=READ, life=HOUR) for _ in range(8)]

    async def end(subject: str) -> None:
        async with sessions.begin() as session:
            await revoke(session, subject)

    async def end_grant(grant_id: str) -> None:
        try:
            await chat.end_grant(grant_id)
        except ProblemFromService as problem:
            if problem.code != "grant_not_found":  # another was first
                raise

    await asyncio.gather(
        *(is_refused(chat, grant.id) for grant in grants),
        *(end_grant(grant.id) for grant in grants[:4]),
        end(ana.session_id),
        end(ana.user.id),
        *(is_refused(chat, grant.id) for grant in grants),
    )
    assert all([await is_refused(chat, grant.id) for grant in grants])
