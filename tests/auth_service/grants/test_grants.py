"""Grants: leave for a service to act for a user, and the tokens that it is worth."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import jwt
import pytest
from sqlalchemy import delete, func, select, update

from auth_service.audit.models import AuditEvent
from auth_service.grants.models import Grant
from auth_service.organizations.models import Membership
from auth_service.users.models import User
from shared.auth.exchange import EXCHANGE, GRANT
from shared.auth.services import service_authorization
from shared.clients.auth import AuthClient
from shared.clients.problems import ProblemFromService
from shared.database import Sessions
from shared.ids import new_id
from tests.auth_service.grants.conftest import LoggedIn
from tests.auth_service.serving import ServeAuth, calling, token_for
from tests.tokens import SECRET, make_token

HOUR = timedelta(hours=1)
CHAT = {"authorization": service_authorization(SECRET, "chat")}


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def form(**fields: Any) -> dict[str, Any]:
    return {"grant_type": EXCHANGE, "subject_token": "gnt_1", "subject_token_type": GRANT, **fields}


async def refusal(chat: AuthClient, grant_id: str) -> ProblemFromService:
    with pytest.raises(ProblemFromService) as caught:
        await chat.token_for_grant(grant_id)
    return caught.value


async def test_a_grant_is_worth_tokens_of_five_minutes_for_its_user(ana: LoggedIn, chat: AuthClient) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:invoke", "chat:write"], life=HOUR)
    assert abs((grant.expires_at - datetime.now(UTC) - HOUR).total_seconds()) < 5
    given = await chat.token_for_grant(grant.id)
    claims = claims_of(given.access_token)
    assert claims["sub"] == ana.user.id
    assert claims["org"] == ana.user.organization_id
    assert claims["sid"] == grant.id
    assert claims["act"] == {"sub": "service:chat"}
    assert claims["scope"] == given.scope == "chat:write llm:invoke"
    assert claims["exp"] - claims["iat"] == given.expires_in == 300
    assert given.access_token not in repr(given)


async def test_its_token_is_good_at_the_services_and_may_be_narrower(
    ana: LoggedIn, chat: AuthClient, auth_url: str
) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:invoke", "chat:write"], life=HOUR)
    given = await chat.token_for_grant(grant.id, scopes=["llm:invoke"])
    async with httpx2.AsyncClient(base_url=auth_url) as auth:
        me = await auth.get("/api/auth/me", headers={"authorization": f"Bearer {given.access_token}"})
    assert me.json()["username"] == "ana"
    assert me.json()["scopes"] == ["llm:invoke"]


async def test_the_answer_is_that_of_rfc_8693_and_is_not_cached(ana: LoggedIn, chat: AuthClient, auth_url: str) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    async with httpx2.AsyncClient(base_url=auth_url) as auth:
        answer = await auth.post("/internal/auth/token", data=form(subject_token=grant.id), headers=CHAT)
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"access_token", "issued_token_type", "token_type", "expires_in", "scope"}
    assert body["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"


async def test_another_replica_knows_the_grant(ana: LoggedIn, chat: AuthClient, serve_auth: ServeAuth) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    async with serve_auth() as url, calling(url) as other:
        assert (await other.token_for_grant(grant.id)).scope == "llm:read"


async def test_a_scope_that_the_grant_lacks_is_refused(ana: LoggedIn, chat: AuthClient) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    with pytest.raises(ProblemFromService, match="llm:invoke") as caught:
        await chat.token_for_grant(grant.id, scopes=["llm:invoke"])
    assert caught.value.code == "invalid_scope"


async def test_a_grant_has_at_most_the_scopes_of_the_token(ana: LoggedIn, chat: AuthClient, sessions: Sessions) -> None:
    narrow = await token_for(sessions, ana.user, source=ana.session_id, scopes=["llm:read"])
    with pytest.raises(ProblemFromService, match="llm:invoke") as caught:
        await chat.make_grant(narrow, scopes=["llm:read", "llm:invoke"], life=HOUR)
    assert caught.value.code == "invalid_scope"


async def test_what_the_role_lost_since_is_left_out(ana: LoggedIn, chat: AuthClient, sessions: Sessions) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read", "llm:invoke"], life=HOUR)
    async with sessions.begin() as session:
        await session.execute(update(Membership).where(Membership.user_id == ana.user.id).values(role="viewer"))
    assert (await chat.token_for_grant(grant.id)).scope == "llm:read"


async def test_another_services_grant_and_an_unknown_one_are_refused_in_the_same_words(
    ana: LoggedIn, chat: AuthClient, auth_url: str
) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    async with calling(auth_url, service="llm") as llm:
        foreign = await refusal(llm, grant.id)
        unknown = await refusal(llm, new_id("gnt"))
        assert (foreign.status, foreign.code, foreign.detail) == (unknown.status, unknown.code, unknown.detail)
        for grant_id in (grant.id, new_id("gnt")):
            with pytest.raises(ProblemFromService, match="There is no such grant"):
                await llm.end_grant(grant_id)
    assert foreign.extra["error"] == "invalid_request"  # RFC 8693 §2.2.2
    assert (await chat.token_for_grant(grant.id)).scope == "llm:read"


async def test_a_service_with_a_wrong_key_gets_nothing(ana: LoggedIn, chat: AuthClient, auth_url: str) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    async with calling(auth_url, secret="another-secret-of-the-tests-0123456789") as stranger:
        assert (await refusal(stranger, grant.id)).status == 401
        with pytest.raises(ProblemFromService):
            await stranger.make_grant(ana.token, scopes=["llm:read"], life=HOUR)


async def test_a_disabled_user_gets_no_token_until_enabled(ana: LoggedIn, chat: AuthClient, sessions: Sessions) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == ana.user.id).values(disabled_at=func.now()))
    assert (await refusal(chat, grant.id)).code == "subject_token_refused"
    with pytest.raises(ProblemFromService, match="ended"):
        await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.id == ana.user.id).values(disabled_at=None))
    assert (await chat.token_for_grant(grant.id)).scope == "llm:read"


async def test_who_left_the_organization_gets_no_token(ana: LoggedIn, chat: AuthClient, sessions: Sessions) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    async with sessions.begin() as session:
        await session.execute(delete(Membership).where(Membership.user_id == ana.user.id))
    await refusal(chat, grant.id)


async def test_no_token_outlives_its_grant(ana: LoggedIn, chat: AuthClient, sessions: Sessions) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=timedelta(seconds=60))
    claims = claims_of((await chat.token_for_grant(grant.id)).access_token)
    assert claims["exp"] <= grant.expires_at.timestamp()
    async with sessions.begin() as session:
        await session.execute(update(Grant).values(expires_at=func.now() - timedelta(seconds=1)))
    await refusal(chat, grant.id)


async def test_expired_grants_are_deleted_when_the_next_is_made(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions
) -> None:
    await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    async with sessions.begin() as session:
        await session.execute(update(Grant).values(expires_at=func.now() - timedelta(seconds=1)))
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    async with sessions() as session:
        assert (await session.scalars(select(Grant.id))).all() == [grant.id]


async def test_a_token_for_a_grant_makes_no_other_grant(ana: LoggedIn, chat: AuthClient) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    given = await chat.token_for_grant(grant.id)
    with pytest.raises(ProblemFromService, match="the user's own token"):
        await chat.make_grant(given.access_token, scopes=["llm:read"], life=HOUR)


@pytest.mark.parametrize("subject_token", ["x", "é", make_token(), "\0", " ", "a.b.c"])
async def test_no_grant_is_made_with_what_is_no_token_of_ours(chat: AuthClient, subject_token: str) -> None:
    with pytest.raises(ProblemFromService) as caught:
        await chat.make_grant(subject_token, scopes=["llm:read"], life=HOUR)
    assert (caught.value.status, caught.value.code) == (400, "subject_token_refused")


async def test_no_grant_is_made_with_a_token_that_has_expired(
    ana: LoggedIn, chat: AuthClient, sessions: Sessions
) -> None:
    expired = await token_for(sessions, ana.user, source=ana.session_id, life=-10)
    with pytest.raises(ProblemFromService, match="expired"):
        await chat.make_grant(expired, scopes=["llm:read"], life=HOUR)


@pytest.mark.parametrize(
    "change",
    [
        {"life": 0},
        {"life": 30 * 24 * 3600 + 1},
        {"life": "soon"},
        {"scopes": []},
        {"scopes": ["admin\0"]},
        {"scopes": ["\ud800"]},
        {"scopes": ["llm:read"] * 33},
        {"subject_token": ""},
        {"subject_token": "a" * 8193},
        {"user_id": "usr_1"},
        {"organization_id": "org_1"},
        {"service": "llm"},
    ],
)
async def test_a_malformed_grant_is_refused(auth_url: str, ana: LoggedIn, change: dict[str, Any]) -> None:
    body = {"subject_token": ana.token, "scopes": ["llm:read"], "life": 60, **change}
    async with httpx2.AsyncClient(base_url=auth_url) as auth:
        answer = await auth.post("/internal/auth/grants", content=ascii_json(body), headers=CHAT | JSON)
    assert answer.status_code == 422, answer.text
    assert ana.token not in answer.text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"grant_type": "password"}, "invalid_request"),
        ({"subject_token": ""}, "invalid_request"),
        ({"organization_id": "org_1"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "unsupported_subject_token_type"),
        ({"subject_token": "gnt_1"}, "subject_token_refused"),
        ({"subject_token": "gnt_" + "0" * 31 + "\0"}, "subject_token_refused"),
        ({"subject_token": "' OR 1=1 --"}, "subject_token_refused"),
    ],
)
async def test_a_malformed_exchange_is_refused(auth_url: str, change: dict[str, str], code: str) -> None:
    async with httpx2.AsyncClient(base_url=auth_url) as auth:
        answer = await auth.post("/internal/auth/token", data=form(**change), headers=CHAT)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["code"] == code


@pytest.mark.parametrize("body", [b"subject_token=%ff&grant_type=%00", b"\xff\xfe", b"=&=&=", b"a" * 100_000])
async def test_bytes_that_are_no_form_are_no_500(auth_url: str, body: bytes) -> None:
    headers = CHAT | {"content-type": "application/x-www-form-urlencoded"}
    async with httpx2.AsyncClient(base_url=auth_url) as auth:
        answer = await auth.post("/internal/auth/token", content=body, headers=headers)
    assert answer.status_code in (400, 413, 422), answer.text


async def test_making_and_ending_a_grant_are_in_the_audit(ana: LoggedIn, chat: AuthClient, sessions: Sessions) -> None:
    grant = await chat.make_grant(ana.token, scopes=["llm:read"], life=HOUR)
    await chat.end_grant(grant.id)
    async with sessions() as session:
        query = select(AuditEvent).where(AuditEvent.target == grant.id).order_by(AuditEvent.id)
        made, ended = (await session.scalars(query)).all()
    assert (made.action, made.actor) == ("grant.create", ana.user.id)
    assert (ended.action, ended.actor) == ("grant.revoke", "service:chat")
    assert made.organization_id == ended.organization_id == ana.user.organization_id
    assert ana.token not in str(made.details)


JSON = {"content-type": "application/json"}


def ascii_json(body: dict[str, Any]) -> bytes:
    """Lone surrogates as escapes, as a client may send them."""
    return json.dumps(body).encode()
