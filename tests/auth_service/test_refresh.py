"""The grant `refresh_token`: rotated at each use, given again within the grace, and the end of a family after it."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, func, select, update

from auth_service.audit.models import AuditEvent
from auth_service.organizations.models import Membership
from auth_service.organizations.roles import ROLES
from auth_service.revocations.models import Revocation
from auth_service.sessions.models import LoginSession, RefreshToken
from auth_service.users.models import User
from shared.database import Sessions
from tests.auth_service.conftest import StartAuth
from tests.auth_service.factories import PASSWORD, make_user
from tests.auth_service.logins import TOKEN, bearing, claims_of, log_in, refresh


async def let_pass(sessions: Sessions, seconds: float) -> None:
    """Moves everything that is kept into the past, as if so much time had gone by."""
    gone = timedelta(seconds=seconds)
    async with sessions.begin() as session:
        for table in (LoginSession, RefreshToken):
            columns = [c for c in table.__table__.columns if c.key.endswith("_at")]
            await session.execute(update(table).values({c.key: c - gone for c in columns}))


async def subjects(sessions: Sessions) -> list[str]:
    async with sessions() as session:
        return list(await session.scalars(select(Revocation.subject)))


async def actions(sessions: Sessions) -> list[str]:
    async with sessions() as session:
        return list(await session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


def assert_refused(answer: httpx2.Response) -> None:
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"] == answer.json()["code"] == "invalid_grant"
    assert answer.json()["detail"] == "The refresh token does not hold (any more). Log in again."


async def test_a_refresh_token_gets_an_access_token_and_its_successor(auth: httpx2.AsyncClient) -> None:
    first = await log_in(auth)
    answer = await refresh(auth, first["refresh_token"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    second = answer.json()
    assert second.keys() == first.keys()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["refresh_token"].startswith("rt-syn-")
    assert len(second["refresh_token"]) == len("rt-syn-") + 43
    assert second["scope"] == first["scope"]
    assert claims_of(second)["sid"] == claims_of(first)["sid"]
    assert claims_of(second)["sid"].startswith("ses_")
    assert (await auth.get("/api/auth/me", headers=bearing(second))).status_code == 200
    assert (await refresh(auth, second["refresh_token"])).status_code == 200


async def test_the_oauth2_form_renews_too(auth: httpx2.AsyncClient) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": (await log_in(auth))["refresh_token"], "unknown": "field"}
    assert (await auth.post(TOKEN, data=form)).status_code == 200


async def test_only_hashes_of_refresh_tokens_are_kept(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    raw = (await log_in(auth))["refresh_token"]
    async with sessions() as session:
        rows = (await session.scalars(select(RefreshToken))).all()
    assert [row.token_hash for row in rows] == [hashlib.sha256(raw.encode()).digest()]


async def test_within_the_grace_a_repeat_gets_the_same_successor(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    first = await log_in(auth)
    once = (await refresh(auth, first["refresh_token"])).json()
    await let_pass(sessions, 9)
    again = (await refresh(auth, first["refresh_token"])).json()
    assert again["refresh_token"] == once["refresh_token"]
    assert (await refresh(auth, once["refresh_token"])).status_code == 200


async def test_a_reused_refresh_token_revokes_the_family(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    first = await log_in(auth)
    other = await log_in(auth)
    second = (await refresh(auth, first["refresh_token"])).json()
    await let_pass(sessions, 11)
    assert_refused(await refresh(auth, first["refresh_token"]))
    assert_refused(await refresh(auth, second["refresh_token"]))
    assert_refused(await refresh(auth, first["refresh_token"]))
    session_id = claims_of(first)["sid"]
    assert await subjects(sessions) == [session_id]
    async with sessions() as session:
        event = (await session.scalars(select(AuditEvent).where(AuditEvent.action == "session.reuse_detected"))).one()
        login = await session.get(LoginSession, session_id)
    assert (event.target, event.result, event.actor) == (session_id, "failure", claims_of(first)["sub"])
    assert login is not None
    assert login.revoked_at is not None
    assert (await refresh(auth, other["refresh_token"])).status_code == 200


async def test_fifty_renewals_at_once_by_two_replicas_make_one_successor(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async with start_auth() as one, start_auth() as two:
        first = await log_in(one)
        answers = await asyncio.gather(*(refresh((one, two)[n % 2], first["refresh_token"]) for n in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["refresh_token"] for answer in answers}) == 1
        assert {claims_of(answer.json())["sid"] for answer in answers} == {claims_of(first)["sid"]}
        async with sessions() as session:
            assert await session.scalar(select(func.count()).select_from(LoginSession)) == 1
            assert await session.scalar(select(func.count()).select_from(RefreshToken)) == 2
        assert (await refresh(two, answers[0].json()["refresh_token"])).status_code == 200
    assert await subjects(sessions) == []


async def test_fifty_reuses_at_once_end_the_family_once(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth() as one, start_auth() as two:
        first = await log_in(one)
        await refresh(one, first["refresh_token"])
        await let_pass(sessions, 11)
        answers = await asyncio.gather(*(refresh((one, two)[n % 2], first["refresh_token"]) for n in range(50)))
    assert {answer.status_code for answer in answers} == {400}
    assert await subjects(sessions) == [claims_of(first)["sid"]]
    assert (await actions(sessions)).count("session.reuse_detected") == 1


DAY = 24 * 3600


async def test_a_login_that_is_not_used_ends(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    first = await log_in(auth)
    await let_pass(sessions, 13.9 * DAY)
    second = (await refresh(auth, first["refresh_token"])).json()
    await let_pass(sessions, 14.1 * DAY)
    assert_refused(await refresh(auth, second["refresh_token"]))


async def test_a_login_ends_however_much_it_is_used(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth(session_idle_days=2, session_max_days=5) as auth:
        token = (await log_in(auth))["refresh_token"]
        for _ in range(4):
            await let_pass(sessions, 1.2 * DAY)
            token = (await refresh(auth, token)).json()["refresh_token"]
        await let_pass(sessions, 0.3 * DAY)
        assert_refused(await refresh(auth, token))


async def test_used_tokens_are_forgotten_when_they_have_expired(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    token = (await log_in(auth))["refresh_token"]
    for _ in range(4):
        await let_pass(sessions, 10 * DAY)
        token = (await refresh(auth, token)).json()["refresh_token"]
    async with sessions() as session:
        assert (
            await session.scalar(select(func.count()).select_from(RefreshToken)) == 2
        )  # the new one, and the one it came of


async def test_a_disabled_user_does_not_renew(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    user = await make_user(sessions)
    tokens = await log_in(auth, "ana", PASSWORD)
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == user.id).values(disabled_at=func.now()))
    assert_refused(await refresh(auth, tokens["refresh_token"]))


async def test_a_deleted_user_does_not_renew(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    user = await make_user(sessions)
    tokens = await log_in(auth, "ana", PASSWORD)
    async with sessions.begin() as session:
        await session.execute(delete(User).where(User.id == user.id))
    assert_refused(await refresh(auth, tokens["refresh_token"]))


async def test_who_left_the_organization_does_not_renew(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    user = await make_user(sessions)
    tokens = await log_in(auth, "ana", PASSWORD)
    async with sessions.begin() as session:
        await session.execute(delete(Membership).where(Membership.user_id == user.id))
    assert_refused(await refresh(auth, tokens["refresh_token"]))


async def test_a_refusal_for_the_users_state_uses_nothing_up(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    user = await make_user(sessions)
    tokens = await log_in(auth, "ana", PASSWORD)
    async with sessions.begin() as session:
        await session.execute(update(Membership).where(Membership.user_id == user.id).values(role="viewer"))
    wide = await refresh(auth, tokens["refresh_token"], scope="chat:write")
    assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")
    answer = await refresh(auth, tokens["refresh_token"])
    assert set(answer.json()["scope"].split()) == set(ROLES["viewer"])


async def test_a_session_that_was_narrowed_is_never_widened(auth: httpx2.AsyncClient) -> None:
    tokens = await log_in(auth, scope="chat:read chat:write")
    wide = await refresh(auth, tokens["refresh_token"], scope="chat:read admin")
    assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")
    whole = (await refresh(auth, tokens["refresh_token"])).json()
    assert set(whole["scope"].split()) == {"chat:read", "chat:write"}


async def test_a_token_that_was_narrowed_leaves_the_session_as_it_is(auth: httpx2.AsyncClient) -> None:
    tokens = await log_in(auth, scope="chat:read chat:write")
    narrow = (await refresh(auth, tokens["refresh_token"], scope="chat:read")).json()
    assert narrow["scope"] == claims_of(narrow)["scope"] == "chat:read"
    whole = (await refresh(auth, narrow["refresh_token"], scope="chat:write chat:read")).json()
    assert set(whole["scope"].split()) == {"chat:read", "chat:write"}


async def test_a_role_that_grows_does_not_grow_a_narrow_session(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    user = await make_user(sessions, role="viewer")
    narrow = await log_in(auth, "ana", PASSWORD, scope="chat:read")
    whole = await log_in(auth, "ana", PASSWORD)
    async with sessions.begin() as session:
        await session.execute(update(Membership).where(Membership.user_id == user.id).values(role="admin"))
    assert (await refresh(auth, narrow["refresh_token"])).json()["scope"] == "chat:read"
    assert set((await refresh(auth, whole["refresh_token"])).json()["scope"].split()) == set(ROLES["admin"])


async def with_two_organizations(sessions: Sessions) -> tuple[User, str, str]:
    """Ana: member of her own, viewer of another; and the id of a third that she does not belong to."""
    ana = await make_user(sessions)
    other = await make_user(sessions, "bob")
    third = await make_user(sessions, "eve")
    async with sessions.begin() as session:
        session.add(Membership(user_id=ana.id, organization_id=other.organization_id, role="viewer"))
    return ana, other.organization_id, third.organization_id


async def test_switching_the_organization_is_a_new_token(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    ana, other, _ = await with_two_organizations(sessions)
    first = await log_in(auth, "ana", PASSWORD)
    assert claims_of(first)["org"] == ana.organization_id
    switched = (await refresh(auth, first["refresh_token"], organization_id=other)).json()
    assert claims_of(switched)["org"] == other
    assert set(switched["scope"].split()) == set(ROLES["viewer"])
    kept = (await refresh(auth, switched["refresh_token"])).json()
    assert claims_of(kept)["org"] == other
    assert claims_of(await log_in(auth, "ana", PASSWORD, organization_id=other))["org"] == other


async def test_a_strangers_organization_is_refused_like_an_unknown_one(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    _, _, strangers = await with_two_organizations(sessions)
    tokens = await log_in(auth, "ana", PASSWORD)
    for organization in (strangers, "org_" + "0" * 32):
        assert_refused(await refresh(auth, tokens["refresh_token"], organization_id=organization))
        body = {"username": "ana", "password": PASSWORD, "organization_id": organization}
        answer = await auth.post(TOKEN, json=body)
        assert (answer.status_code, answer.json()["code"]) == (401, "wrong_credentials")
    assert (await refresh(auth, tokens["refresh_token"])).status_code == 200


async def test_the_token_of_another_client_is_refused(auth: httpx2.AsyncClient) -> None:
    tokens = await log_in(auth, client_id="phone")
    assert_refused(await refresh(auth, tokens["refresh_token"]))
    assert_refused(await refresh(auth, tokens["refresh_token"], client_id="laptop"))
    assert (await refresh(auth, tokens["refresh_token"], client_id="phone")).status_code == 200
    assert claims_of(tokens)["client_id"] == "synapscale"  # a name that anybody may give is no identity


async def test_another_secret_does_not_know_the_successor(auth: httpx2.AsyncClient) -> None:
    """Whoever reads the database and one token cannot compute the next one."""
    token = (await log_in(auth))["refresh_token"]
    guess = "rt-syn-" + hashlib.sha256(token.encode()).hexdigest()[:43]
    await refresh(auth, token)
    assert_refused(await refresh(auth, guess))


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token[:-1] + "\0",
        lambda token: token + "\0",
        lambda token: token + "A",
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token.upper(),
        lambda token: token.removeprefix("rt-syn-"),
        lambda token: "rt-syn-" + "A" * 43,
        lambda _: "rt-syn-'; DROP TABLE auth.sessions; --",
        lambda _: "é" * 50,
    ],
)
async def test_what_is_not_quite_a_refresh_token_is_refused(auth: httpx2.AsyncClient, change: Any) -> None:
    tokens = await log_in(auth)
    assert_refused(await refresh(auth, change(tokens["refresh_token"])))
    assert (await refresh(auth, tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"refresh_token": ""},
        {"refresh_token": None},
        {"refresh_token": 7},
        {"refresh_token": ["rt-syn-"]},
        {"refresh_token": "x" * 129},
        {"refresh_token": "x", "organization_id": "org_\0"},
        {"refresh_token": "x", "organization_id": ""},
        {"refresh_token": "x", "client_id": "\0"},
        {"refresh_token": "x", "scope": ["admin"]},
        {},
    ],
)
async def test_a_renewal_that_cannot_be_read_is_422(auth: httpx2.AsyncClient, fields: dict[str, Any]) -> None:
    answer = await auth.post(TOKEN, json={"grant_type": "refresh_token", **fields})
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")


async def test_a_field_given_twice_is_refused(auth: httpx2.AsyncClient) -> None:
    token = (await log_in(auth))["refresh_token"]
    body = f"grant_type=refresh_token&refresh_token={token}&refresh_token={token}"
    answer = await auth.post(TOKEN, content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_neither_logs_nor_the_audit_hold_a_token(
    auth: httpx2.AsyncClient, sessions: Sessions, capfd: pytest.CaptureFixture[str]
) -> None:
    first = await log_in(auth)
    second = (await refresh(auth, first["refresh_token"])).json()
    await let_pass(sessions, 11)
    await refresh(auth, first["refresh_token"])
    async with sessions() as session:
        events = (await session.scalars(select(AuditEvent))).all()
    written = "".join(capfd.readouterr()) + "".join(str(vars(event)) for event in events)
    for tokens in (first, second):
        assert tokens["refresh_token"][7:] not in written
        assert tokens["access_token"] not in written
