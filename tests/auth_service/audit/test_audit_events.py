"""`GET /api/auth/audit-events`, and that what was written stays."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from auth_service.audit.service import Origin, record
from shared.auth import Principal
from shared.database import Sessions
from tests.auth_service.conftest import ADMIN_PASSWORD
from tests.auth_service.factories import PASSWORD, make_user

ORIGIN = Origin(address="192.0.2.7", user_agent="curl/8", request_id="req_1")


async def headers_of(auth: httpx2.AsyncClient, username: str, password: str) -> dict[str, str]:
    answer = await auth.post("/api/auth/token", json={"username": username, "password": password})
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture
async def admin(auth: httpx2.AsyncClient) -> dict[str, str]:
    return await headers_of(auth, "admin", ADMIN_PASSWORD)


@pytest.fixture
async def organization_id(auth: httpx2.AsyncClient, admin: dict[str, str]) -> str:
    return str((await auth.get("/api/auth/me", headers=admin)).json()["organization"]["id"])


async def happens(sessions: Sessions, action: str = "user.disable", **event: Any) -> None:
    async with sessions.begin() as session:
        record(session, action, origin=ORIGIN, **event)


async def read(auth: httpx2.AsyncClient, headers: dict[str, str], **query: Any) -> dict[str, Any]:
    answer = await auth.get("/api/auth/audit-events", headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def targets(auth: httpx2.AsyncClient, headers: dict[str, str], **query: Any) -> list[str]:
    """Of the events that these tests write."""
    page = await read(auth, headers, limit=100, **query)
    return [event["target"] for event in page["data"] if event["request_id"] == "req_1"]


async def test_an_event_says_who_did_what_to_what_from_where_and_how_it_ended(
    auth: httpx2.AsyncClient, admin: dict[str, str], organization_id: str, sessions: Sessions
) -> None:
    by = Principal(
        user_id="usr_1", organization_id=organization_id, session_id="ses_1", scopes=frozenset(),
        issued_at=0, expires_at=0, token="",
    )  # fmt: skip
    await happens(sessions, by=by, target="usr_2", result="failure", reason="last_owner")
    event = (await read(auth, admin, action="user.disable"))["data"][0]
    at = datetime.fromisoformat(event.pop("created_at"))
    assert timedelta(0) <= datetime.now(UTC) - at < timedelta(minutes=1)
    assert event.pop("id").startswith("evt_")
    assert event == {
        "actor": "usr_1", "action": "user.disable", "target": "usr_2", "result": "failure", "address": "192.0.2.7",
        "user_agent": "curl/8", "request_id": "req_1", "details": {"reason": "last_owner"},
    }  # fmt: skip


async def test_only_the_events_of_the_tokens_organization_are_shown(
    auth: httpx2.AsyncClient, admin: dict[str, str], organization_id: str, sessions: Sessions
) -> None:
    stranger = await make_user(sessions, "ana", role="owner")
    await happens(sessions, organization_id=organization_id, target="ours")
    await happens(sessions, organization_id=stranger.organization_id, target="theirs")
    await happens(sessions, target="nobody's")
    assert await targets(auth, admin) == ["ours"]
    assert await targets(auth, await headers_of(auth, "ana", PASSWORD)) == ["theirs"]


@pytest.mark.parametrize("role", ["developer", "member", "viewer"])
async def test_whoever_is_no_admin_sees_nothing(auth: httpx2.AsyncClient, sessions: Sessions, role: str) -> None:
    await make_user(sessions, role=role)
    answer = await auth.get("/api/auth/audit-events", headers=await headers_of(auth, "ana", PASSWORD))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert (await auth.get("/api/auth/audit-events")).status_code == 401


async def test_pages_go_from_the_newest_to_the_oldest_and_miss_none(
    auth: httpx2.AsyncClient, admin: dict[str, str], organization_id: str, sessions: Sessions
) -> None:
    for number in range(7):
        await happens(sessions, "page.turn", organization_id=organization_id, target=str(number))
    shown: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await read(auth, admin, action="page.turn", limit=3, **cursor)
        shown += [event["target"] for event in page["data"]]
        if page["next_cursor"] is None:
            break
        await happens(sessions, "page.turn", organization_id=organization_id, target="later")
        cursor = {"cursor": page["next_cursor"]}
    assert shown == [str(number) for number in reversed(range(7))]


async def test_each_filter_narrows(
    auth: httpx2.AsyncClient, admin: dict[str, str], organization_id: str, sessions: Sessions
) -> None:
    here = {"organization_id": organization_id}
    await happens(sessions, "user.create", actor="usr_1", target="a", **here)
    await happens(sessions, "user.create", actor="usr_2", target="b", result="failure", **here)
    await happens(sessions, "user.delete", actor="usr_1", target="c", **here)
    assert await targets(auth, admin, action="user.create") == ["b", "a"]
    assert await targets(auth, admin, actor="usr_1") == ["c", "a"]
    assert await targets(auth, admin, target="c") == ["c"]
    assert await targets(auth, admin, result="failure") == ["b"]
    assert await targets(auth, admin, action="user.create", actor="usr_1") == ["a"]
    assert await targets(auth, admin, action="user.%") == []


async def test_from_counts_in_and_to_counts_out(
    auth: httpx2.AsyncClient, admin: dict[str, str], organization_id: str, sessions: Sessions
) -> None:
    await happens(sessions, organization_id=organization_id, target="a")
    at = (await read(auth, admin, target="a"))["data"][0]["created_at"]
    await happens(sessions, organization_id=organization_id, target="b")
    assert await targets(auth, admin, **{"from": at}) == ["b", "a"]
    assert await targets(auth, admin, to=at) == []
    later = datetime.now(UTC) + timedelta(seconds=5)
    assert await targets(auth, admin, **{"from": at, "to": later.isoformat()}) == ["b", "a"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"action": "a\0b"}, 422),
        ({"actor": "a" * 257}, 422),
        ({"result": "maybe"}, 422),
        ({"from": "yesterday"}, 422),
        ({"from": "2026-11-25T10:00:00"}, 422),
        ({"from": "1795603246"}, 422),
        ({"limit": 101}, 422),
        ({"limit": 0}, 422),
        ({"organization_id": "org_other"}, 422),
        ({"cursor": "nonsense"}, 400),
        ({"cursor": "ZXZ0X3g"}, 400),
        ({"target": "'; DROP TABLE auth.audit_events; --"}, 200),
        ({"from": "1970-01-01T00:00:00Z", "to": "8999-12-31T23:59:59+14:00"}, 200),
        ({"from": "9999-12-31T23:59:59-12:00"}, 200),
        ({"from": "0001-01-01T00:00:00+12:00"}, 200),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(
    auth: httpx2.AsyncClient, admin: dict[str, str], query: dict[str, Any], status: int
) -> None:
    answer = await auth.get("/api/auth/audit-events", headers=admin, params=query)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE auth.audit_events SET result = 'success'",
        "UPDATE auth.audit_events SET actor = NULL WHERE false",
        "DELETE FROM auth.audit_events",
        "TRUNCATE auth.audit_events",
        "TRUNCATE auth.audit_events CASCADE",
        "INSERT INTO auth.audit_events SELECT * FROM auth.audit_events "
        "ON CONFLICT (id) DO UPDATE SET result = 'success'",
        "MERGE INTO auth.audit_events USING (SELECT 1) one ON true WHEN MATCHED THEN DELETE",
    ],
)
async def test_the_database_refuses_to_change_what_was_written(sessions: Sessions, statement: str) -> None:
    await happens(sessions, target="kept", result="failure")
    with pytest.raises(DBAPIError, match="append-only"):
        async with sessions.begin() as session:
            await session.execute(text(statement))
    async with sessions() as session:
        row = (await session.execute(text("SELECT target, result FROM auth.audit_events"))).one()
    assert tuple(row) == ("kept", "failure")


async def test_events_outlive_the_organization_and_the_user_that_they_tell_of(sessions: Sessions) -> None:
    user = await make_user(sessions)
    await happens(sessions, organization_id=user.organization_id, actor=user.id, target=user.id)
    async with sessions.begin() as session:
        await session.execute(text("DELETE FROM auth.organizations"))
    async with sessions() as session:
        assert (await session.execute(text("SELECT count(*) FROM auth.audit_events"))).scalar_one() == 1
