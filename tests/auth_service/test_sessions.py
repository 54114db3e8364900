"""Logging out, here and everywhere; RFC 7009; and the list of one's own logins."""

import asyncio
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, func, select, text, update

from auth_service import keeping
from auth_service.audit.models import AuditEvent
from auth_service.keys.sealing import Seal
from auth_service.keys.service import KeyRing
from auth_service.organizations.models import Membership
from auth_service.organizations.roles import ROLES
from auth_service.revocations.models import Revocation
from auth_service.sessions.models import LoginSession, RefreshToken
from auth_service.sessions.service import end_logins
from auth_service.tokens.issuer import TokenIssuer
from auth_service.users.models import User
from shared.database import Sessions
from tests.auth_service.calling import until_somebody_waits
from tests.auth_service.conftest import StartAuth
from tests.auth_service.factories import PASSWORD, make_user
from tests.auth_service.logins import Json, bearing, claims_of, log_in, refresh
from tests.auth_service.test_refresh import DAY, assert_refused, let_pass, subjects
from tests.tokens import SECRET

SESSIONS = "/api/auth/sessions"
REVOKE = "/api/auth/revoke"


def sid(tokens: Json) -> str:
    return str(claims_of(tokens)["sid"])


async def listed(auth: httpx2.AsyncClient, tokens: Json) -> list[Json]:
    answer = await auth.get(SESSIONS, headers=bearing(tokens))
    assert answer.status_code == 200
    found: list[Json] = answer.json()["data"]
    return found


async def test_a_logout_ends_the_session_and_its_access_tokens(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    tokens, other = await log_in(auth), await log_in(auth)
    assert (await auth.post("/api/auth/logout", headers=bearing(tokens))).status_code == 204
    assert await subjects(sessions) == [sid(tokens)]
    assert_refused(await refresh(auth, tokens["refresh_token"]))
    assert (await refresh(auth, other["refresh_token"])).status_code == 200


async def test_a_second_logout_changes_nothing(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    tokens = await log_in(auth)
    await asyncio.gather(*(auth.post("/api/auth/logout", headers=bearing(tokens)) for _ in range(10)))
    assert await subjects(sessions) == [sid(tokens)]


async def test_a_revocation_is_later_than_every_token_of_the_session(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    tokens = await log_in(auth)
    renewed, _ = await asyncio.gather(
        refresh(auth, tokens["refresh_token"]), auth.post("/api/auth/logout", headers=bearing(tokens))
    )
    async with sessions() as session:
        revoked = (await session.scalars(select(Revocation))).one()
    if renewed.status_code == 200:
        assert claims_of(renewed.json())["iat"] <= revoked.created_at.timestamp()
        assert_refused(await refresh(auth, renewed.json()["refresh_token"]))


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
@pytest.mark.parametrize("hint", [None, "refresh_token", "access_token", "nonsense"])
async def test_revoking_either_token_ends_the_session(
    auth: httpx2.AsyncClient, sessions: Sessions, kind: str, hint: str | None
) -> None:
    tokens = await log_in(auth)
    form = {"token": tokens[kind]} | ({"token_type_hint": hint} if hint else {})
    answer = await auth.post(REVOKE, data=form)
    assert (answer.status_code, answer.content) == (200, b"")
    assert await subjects(sessions) == [sid(tokens)]
    assert_refused(await refresh(auth, tokens["refresh_token"]))


async def test_a_used_refresh_token_still_revokes(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    tokens = await log_in(auth)
    renewed = (await refresh(auth, tokens["refresh_token"])).json()
    await let_pass(sessions, 60)
    assert (await auth.post(REVOKE, data={"token": tokens["refresh_token"]})).status_code == 200
    assert_refused(await refresh(auth, renewed["refresh_token"]))


@pytest.mark.parametrize("token", ["x", "rt-syn-" + "A" * 43, "a.b.c", "\0", "é", "x" * 10_000])
async def test_revoking_what_is_no_token_is_fine_and_does_nothing(
    auth: httpx2.AsyncClient, sessions: Sessions, token: str
) -> None:
    tokens = await log_in(auth)
    assert (await auth.post(REVOKE, data={"token": token})).status_code == 200
    assert await subjects(sessions) == []
    assert (await refresh(auth, tokens["refresh_token"])).status_code == 200


async def test_a_forged_access_token_revokes_nothing(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    tokens = await log_in(auth)
    head, body, signature = tokens["access_token"].split(".")
    assert (await auth.post(REVOKE, data={"token": f"{head}.{body}.{signature[:-4]}AAAA"})).status_code == 200
    assert await subjects(sessions) == []


@pytest.mark.parametrize("body", [b"", b"token=", b"token=a&token=b", b"token_type_hint=x"])
async def test_a_revocation_without_a_token_is_told_so(auth: httpx2.AsyncClient, body: bytes) -> None:
    answer = await auth.post(REVOKE, content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"] == "invalid_request"


async def test_the_list_shows_what_lasts_newest_first(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    gone = await log_in(auth)
    await let_pass(sessions, 15 * DAY)
    ended = await log_in(auth)
    await auth.post("/api/auth/logout", headers=bearing(ended))
    phone = await auth.post(
        "/api/auth/token",
        json={"username": "admin", "password": "a long enough password", "client_id": "phone"},
        headers={"user-agent": "Phone/1.0", "x-forwarded-for": "203.0.113.9"},
    )
    here = await log_in(auth)
    found = await listed(auth, here)
    assert [each["id"] for each in found] == [sid(here), sid(phone.json())]
    assert [each["current"] for each in found] == [True, False]
    assert found[1]["user_agent"] == "Phone/1.0"
    assert found[1]["address"] == "203.0.113.9"
    assert found[1]["client_id"] == "phone"
    assert found[1]["created_at"] == found[1]["last_used_at"]
    assert sid(gone) not in str(found)
    assert "rt-syn" not in str(found)


async def test_the_list_tells_when_a_session_was_last_used(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    tokens = await log_in(auth)
    await let_pass(sessions, 3600)
    renewed = (await refresh(auth, tokens["refresh_token"])).json()
    (found,) = await listed(auth, renewed)
    assert found["last_used_at"] > found["created_at"]


async def test_the_list_has_pages(auth: httpx2.AsyncClient) -> None:
    logins = [await log_in(auth) for _ in range(3)]
    first = (await auth.get(SESSIONS, params={"limit": 2}, headers=bearing(logins[0]))).json()
    cursor = first["next_cursor"]
    second = (await auth.get(SESSIONS, params={"limit": 2, "cursor": cursor}, headers=bearing(logins[0]))).json()
    assert [each["id"] for each in first["data"] + second["data"]] == [sid(each) for each in reversed(logins)]
    assert second["next_cursor"] is None
    bad = await auth.get(SESSIONS, params={"cursor": "AA"}, headers=bearing(logins[0]))
    assert bad.status_code == 400


async def test_one_of_the_own_sessions_is_ended_by_its_id(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    here, there = await log_in(auth), await log_in(auth)
    assert (await auth.delete(f"{SESSIONS}/{sid(there)}", headers=bearing(here))).status_code == 204
    assert await subjects(sessions) == [sid(there)]
    assert_refused(await refresh(auth, there["refresh_token"]))
    assert (await refresh(auth, here["refresh_token"])).status_code == 200


async def test_a_strangers_session_is_as_unknown_as_any_other(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    admin = await auth.get("/api/auth/me", headers=bearing(await log_in(auth)))
    await make_user(sessions, organization_id=admin.json()["organization"]["id"])
    theirs, mine = await log_in(auth, "ana", PASSWORD), await log_in(auth)
    ended = await log_in(auth)
    await auth.post("/api/auth/logout", headers=bearing(ended))
    answers = [
        await auth.delete(f"{SESSIONS}/{session_id}", headers=bearing(mine))
        for session_id in (sid(theirs), "ses_" + "0" * 32, sid(ended), "ses_%00", "'; --", "x" * 3000)
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert (await refresh(auth, theirs["refresh_token"])).status_code == 200
    assert sid(theirs) not in str(await listed(auth, mine))


async def test_logging_out_everywhere_ends_all_of_ones_own(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    await make_user(sessions)
    theirs = await log_in(auth, "ana", PASSWORD)
    mine = [await log_in(auth) for _ in range(3)]
    assert (await auth.delete(SESSIONS, headers=bearing(mine[0]))).status_code == 204
    assert set(await subjects(sessions)) == {sid(each) for each in mine}
    for each in mine:
        assert_refused(await refresh(auth, each["refresh_token"]))
    assert (await refresh(auth, theirs["refresh_token"])).status_code == 200


async def test_logging_out_everywhere_else_keeps_this_one(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    here, there = await log_in(auth), await log_in(auth)
    answer = await auth.delete(SESSIONS, params={"keep_current": True}, headers=bearing(here))
    assert answer.status_code == 204
    assert await subjects(sessions) == [sid(there)]
    assert (await refresh(auth, here["refresh_token"])).status_code == 200


async def test_renewals_and_logouts_everywhere_at_once_leave_nothing_alive(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async with start_auth() as one, start_auth() as two:
        logins = [await log_in(one) for _ in range(6)]
        renewals = [refresh((one, two)[n % 2], each["refresh_token"]) for n, each in enumerate(logins)]
        endings = [each.delete(SESSIONS, headers=bearing(logins[0])) for each in (one, two, one, two)]
        answers = await asyncio.gather(*renewals, *endings)
        assert {answer.status_code for answer in answers} <= {200, 204, 400}
        renewed = [answer.json()["refresh_token"] for answer in answers[:6] if answer.status_code == 200]
        for token in renewed:
            assert_refused(await refresh(two, token))
    assert sorted(await subjects(sessions)) == sorted(sid(each) for each in logins)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/auth/logout"), ("GET", SESSIONS), ("DELETE", SESSIONS), ("DELETE", f"{SESSIONS}/x")],
)
async def test_without_a_token_nothing_is_seen_or_ended(auth: httpx2.AsyncClient, method: str, path: str) -> None:
    assert (await auth.request(method, path)).status_code == 401


async def token_of_an_api_key(sessions: Sessions, tokens: Json) -> Json:
    """As the exchange of an API key makes them."""
    ring = KeyRing(sessions, Seal(SECRET))
    await ring.load()
    issuer = TokenIssuer(ring, issuer="http://localhost:8000")
    claims = claims_of(tokens)
    token = issuer.issue(
        claims["sub"], organization_id=claims["org"], scopes=claims["scope"].split(), session_id="key_" + "0" * 32
    )
    return {"access_token": token.access_token}


async def test_an_api_key_sees_and_ends_no_sessions(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    """Whoever finds one must not learn where its owner logs in, or lock them out."""
    tokens = await log_in(auth)
    key = bearing(await token_of_an_api_key(sessions, tokens))
    assert (await auth.get("/api/auth/me", headers=key)).status_code == 200
    answers = [
        await auth.post("/api/auth/logout", headers=key),
        await auth.get(SESSIONS, headers=key),
        await auth.delete(SESSIONS, headers=key),
        await auth.delete(f"{SESSIONS}/{sid(tokens)}", headers=key),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "not_a_login")}
    assert await subjects(sessions) == []


async def test_the_token_of_an_api_key_is_not_revoked_here(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    key = await token_of_an_api_key(sessions, await log_in(auth))
    answer = await auth.post(REVOKE, data={"token": key["access_token"]})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_token_type")
    assert await subjects(sessions) == []


@pytest.mark.parametrize(
    ("how", "change"),
    [
        ("login", {"disabled_at": func.now()}),
        ("renewal", {"disabled_at": func.now()}),
        ("login", {"password_hash": "another"}),
    ],
)
async def test_a_user_who_is_being_disabled_or_changes_the_password_gets_no_session(
    auth: httpx2.AsyncClient, sessions: Sessions, how: str, change: dict[str, Any]
) -> None:
    """The one waits for the other, whichever is first: no token is made behind the back of a revocation."""
    user = await make_user(sessions)
    tokens = await log_in(auth, "ana", PASSWORD)
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == user.id).values(change))
        body = {"username": "ana", "password": PASSWORD}
        asking = auth.post("/api/auth/token", json=body) if how == "login" else refresh(auth, tokens["refresh_token"])
        answer = asyncio.create_task(asking)
        await until_somebody_waits(sessions)
    assert (await answer).json()["error"] == "invalid_grant"
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(LoginSession)) == 1


@pytest.mark.parametrize(("role", "status", "scope"), [("viewer", 200, " ".join(ROLES["viewer"])), (None, 401, None)])
async def test_who_logs_in_while_the_role_changes_gets_what_it_is_then(
    auth: httpx2.AsyncClient, sessions: Sessions, role: str | None, status: int, scope: str | None
) -> None:
    user = await make_user(sessions)
    async with sessions.begin() as session:
        change = delete(Membership) if role is None else update(Membership).values(role=role)
        await session.execute(change.where(Membership.user_id == user.id))
        body = {"username": "ana", "password": PASSWORD}
        answer = asyncio.create_task(auth.post("/api/auth/token", json=body))
        await until_somebody_waits(sessions)
    answered = await answer
    assert (answered.status_code, answered.json().get("scope")) == (status, scope)
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(LoginSession)) == int(status == 200)


async def test_sessions_that_were_ended_for_a_user_stay_ended(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    user = await make_user(sessions)
    spared, ended = await log_in(auth, "ana", PASSWORD), await log_in(auth, "ana", PASSWORD)
    async with sessions.begin() as session:
        assert await end_logins(session, user.id, organization_id="org_other") == 0
        assert await end_logins(session, user.id, organization_id=user.organization_id, but=sid(spared)) == 1
    assert await subjects(sessions) == [sid(ended)]
    assert_refused(await refresh(auth, ended["refresh_token"]))
    assert (await refresh(auth, spared["refresh_token"])).status_code == 200


async def test_what_happens_to_sessions_is_audited(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    tokens = await log_in(auth)
    await auth.post("/api/auth/logout", headers=bearing(tokens))
    async with sessions() as session:
        about_sessions = select(AuditEvent).where(AuditEvent.action.startswith("session."))
        events = (await session.scalars(about_sessions.order_by(AuditEvent.id))).all()
    assert [(each.action, each.target) for each in events] == [
        ("session.create", sid(tokens)),
        ("session.end", sid(tokens)),
    ]
    claims = claims_of(tokens)
    assert {(each.actor, each.organization_id) for each in events} == {(claims["sub"], claims["org"])}
    assert all(each.request_id for each in events)


async def test_expired_sessions_are_thrown_away(
    start_auth: StartAuth, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "CLEAN_EVERY", 0.02)
    monkeypatch.setattr(keeping, "BATCH", 2)
    async with start_auth() as auth:
        for _ in range(5):
            await log_in(auth)
        await let_pass(sessions, 15 * DAY)
        kept = await log_in(auth)
        async with asyncio.timeout(10):
            while await count(sessions) > 1:  # noqa: ASYNC110 # the database sets no event
                await asyncio.sleep(0.02)
        assert (await refresh(auth, kept["refresh_token"])).status_code == 200


async def count(sessions: Sessions) -> int:
    async with sessions() as session:
        tokens = await session.scalar(select(func.count()).select_from(RefreshToken))
        logins = await session.scalar(select(func.count()).select_from(LoginSession))
    assert tokens == logins
    return int(logins or 0)


async def test_logging_out_everywhere_ends_however_many_logins_there_are(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    """Whoever knows a password can log in so often that one statement does not take all of the sessions."""
    ana = await make_user(sessions)
    tokens = await log_in(auth, "ana", PASSWORD)
    many = 12_000
    async with sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO auth.sessions (id, user_id, organization_id, client_id, expires_at)"
                " SELECT 'ses_' || lpad(to_hex(n), 32, '0'), :user, :organization, 'x', now() + interval '1 day'"
                " FROM generate_series(1, :many) n"
            ),
            {"user": ana.id, "organization": ana.organization_id, "many": many},
        )
    assert (await auth.delete(SESSIONS, headers=bearing(tokens))).status_code == 204
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Revocation)) == many + 1
