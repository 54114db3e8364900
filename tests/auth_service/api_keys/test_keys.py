"""API keys: made, read, changed, rotated and revoked, by those who may."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from auth_service.api_keys.models import ApiKey
from auth_service.audit.models import AuditEvent
from auth_service.revocations.models import Revocation
from shared.auth.api_keys import is_api_key
from shared.database import Sessions
from tests.auth_service.api_keys.conftest import Caller, logged_in, with_key
from tests.auth_service.conftest import StartAuth

IN_AN_HOUR = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
SETTINGS: dict[str, Any] = {
    "scopes": ["llm:invoke", "llm:read"],
    "allowed_models": ["gpt-4o", "org/a-model"],
    "requests_per_minute": 60,
    "tokens_per_minute": 100_000,
    "concurrent_requests": 4,
    "budget": {"usd": "12.50", "period": "month"},
}


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(ana: Caller, sessions: Sessions) -> None:
    created = await ana.create("laptop", **SETTINGS, expires_at=IN_AN_HOUR)
    assert is_api_key(created["key"])
    assert created["last_four"] == created["key"][-4:]
    assert created["user_id"] == ana.user_id
    read = (await ana.call("GET", f"/{created['id']}")).json()
    assert {**read, "key": created["key"]} == created
    assert read.items() >= SETTINGS.items()
    listed = (await ana.call("GET")).text
    assert created["id"] in listed
    assert created["key"] not in listed
    async with sessions() as session:
        kept = (await session.execute(text("SELECT key_hash, api_keys::text FROM auth.api_keys"))).one()
        audited = (await session.scalars(select(AuditEvent).where(AuditEvent.action == "api_key.create"))).one()
    assert kept[0] == hashlib.sha256(created["key"].encode()).digest()
    assert created["key"][:-4] not in kept[1]
    assert (audited.target, audited.actor) == (created["id"], ana.user_id)
    assert created["key"] not in str(audited.details)


async def test_an_answer_with_a_key_is_not_stored_on_its_way(ana: Caller) -> None:
    answer = await ana.call("POST", name="x")
    rotated = await ana.call("POST", f"/{answer.json()['id']}/rotate")
    assert answer.headers["cache-control"] == rotated.headers["cache-control"] == "no-store"


async def test_without_scopes_a_key_may_what_its_owner_may_but_not_administer(admin: Caller, ana: Caller) -> None:
    without_admin = {"llm:read", "llm:invoke", "chat:read", "chat:write", "usage:read"}
    assert set((await admin.create())["scopes"]) == without_admin
    assert set((await ana.create())["scopes"]) == without_admin
    assert (await admin.create(scopes=["admin"]))["scopes"] == ["admin"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 129},
        {"name": "nul\0"},
        {"name": "\ud800"},
        {"name": None},
        {"scopes": []},
        {"scopes": ["\0"]},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01T00:00:00"},
        {"allowed_models": []},
        {"allowed_models": ["x"] * 51},
        {"allowed_models": ["x" * 129]},
        {"allowed_models": [f"{number:02}" + "x" * 126 for number in range(50)]},
        {"allowed_models": [f"{number:02}" + "é" * 30 for number in range(50)]},
        {"requests_per_minute": 0},
        {"tokens_per_minute": 2**40},
        {"concurrent_requests": "many"},
        {"budget": {"usd": "0", "period": "day"}},
        {"budget": {"usd": "-1", "period": "day"}},
        {"budget": {"usd": "NaN", "period": "day"}},
        {"budget": {"usd": "1", "period": "year"}},
        {"budget": {"usd": "1"}},
        {"organization_id": "org_other"},
        {"key_hash": "00"},
        {"user_id": "\0"},
    ],
)
async def test_what_is_not_right_is_422(ana: Caller, wrong: dict[str, Any]) -> None:
    answer = await ana.call("POST", **{"name": "a key", **wrong})
    assert answer.status_code == 422, answer.text


async def test_a_key_may_not_more_than_its_owner_nor_than_who_makes_it(ana: Caller, admin: Caller) -> None:
    for caller, body in (
        (ana, {"scopes": ["admin"]}),
        (ana, {"scopes": ["llm:read", "unknown:scope"]}),
        (admin, {"scopes": ["admin"], "user_id": ana.user_id}),
    ):
        refused = await caller.call("POST", name="x", **body)
        assert refused.status_code == 403
        assert refused.json()["code"] == "scopes_not_allowed"
    narrow = await logged_in(ana.auth, "ana", scope="llm:read")
    assert (await narrow.create())["scopes"] == ["llm:read"]
    assert (await narrow.call("POST", name="x", scopes=["llm:invoke"])).status_code == 403
    wide = await ana.create()
    assert (await narrow.call("POST", f"/{wide['id']}/rotate")).status_code == 403
    assert (await narrow.call("PATCH", f"/{wide['id']}", scopes=["chat:read"])).status_code == 403


async def test_an_admin_makes_keys_for_others_of_the_organization(admin: Caller, ana: Caller, stranger: Caller) -> None:
    created = await admin.create(user_id=ana.user_id)
    assert created["user_id"] == ana.user_id
    assert (await ana.call("GET", f"/{created['id']}")).status_code == 200
    refused = await ana.call("POST", name="x", user_id=admin.user_id)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    unknown = await admin.call("POST", name="x", user_id="usr_nobody")
    foreign = await admin.call("POST", name="x", user_id=stranger.user_id)
    assert unknown.status_code == foreign.status_code == 404
    assert unknown.json()["detail"] == foreign.json()["detail"]


async def test_members_see_their_own_keys_and_admins_those_of_the_organization(
    admin: Caller, ana: Caller, stranger: Caller
) -> None:
    his, hers, eves = await admin.create(), await ana.create(), await stranger.create()

    async def seen(caller: Caller, query: str = "") -> set[str]:
        return {key["id"] for key in (await caller.call("GET", query)).json()["data"]}

    assert await seen(admin) == {his["id"], hers["id"]}
    assert await seen(admin, f"?user_id={ana.user_id}") == {hers["id"]}
    assert await seen(ana) == await seen(ana, f"?user_id={admin.user_id}") == {hers["id"]}
    assert await seen(stranger) == {eves["id"]}
    assert await seen(stranger, f"?user_id={ana.user_id}") == set()


async def test_somebody_elses_key_is_as_unknown_as_none(admin: Caller, ana: Caller, stranger: Caller) -> None:
    his = (await admin.create())["id"]
    for caller in (ana, stranger):
        for method, suffix, body in (
            ("GET", "", {}),
            ("PATCH", "", {"name": "mine"}),
            ("DELETE", "", {}),
            ("POST", "/rotate", {}),
        ):
            answers = [
                await caller.call(method, f"/{key_id}{suffix}", **body)
                for key_id in (his, "key_" + "0" * 32, "key_%00", "x' OR '1'='1")
            ]
            assert {answer.status_code for answer in answers} == {404}
            assert len({answer.json()["detail"] for answer in answers}) == 1


async def test_lists_are_paged_newest_first(ana: Caller) -> None:
    made = [(await ana.create(f"key {number}"))["id"] for number in range(5)]
    seen, cursor = [], ""
    for _ in range(3):
        page = (await ana.call("GET", f"?limit=2{cursor}")).json()
        seen += [key["id"] for key in page["data"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == made[::-1]
    assert page["next_cursor"] is None
    assert (await ana.call("GET", "?cursor=nonsense")).status_code == 400


async def test_a_change_keeps_what_it_does_not_name_and_null_takes_away(ana: Caller) -> None:
    created = await ana.create(**SETTINGS, expires_at=IN_AN_HOUR)
    path = f"/{created['id']}"
    renamed = (await ana.call("PATCH", path, name="new")).json()
    assert renamed == {k: v for k, v in created.items() if k != "key"} | {"name": "new"}
    change = {"budget": None, "expires_at": None, "requests_per_minute": None, "allowed_models": ["x"]}
    changed = (await ana.call("PATCH", path, **change)).json()
    assert changed == renamed | change
    for wrong in ({"name": None}, {"scopes": None}, {"user_id": "usr_x"}, {"revoked_at": None}):
        assert (await ana.call("PATCH", path, **wrong)).status_code == 422


async def test_rotation_gives_the_same_settings_and_ends_the_old_key_after_the_overlap(ana: Caller) -> None:
    old = await ana.create(**SETTINGS)
    new = (await ana.call("POST", f"/{old['id']}/rotate", overlap_seconds=3600)).json()
    assert new["key"] != old["key"]
    own = {"id", "key", "last_four", "created_at"}
    assert {k: v for k, v in new.items() if k not in own} == {k: v for k, v in old.items() if k not in own}
    after = (await ana.call("GET", f"/{old['id']}")).json()
    assert after["rotated_to"] == new["id"]
    left = datetime.fromisoformat(after["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    again = await ana.call("POST", f"/{old['id']}/rotate")
    assert (again.status_code, again.json()["code"]) == (409, "api_key_ended")


async def test_rotation_never_prolongs_the_old_key(ana: Caller) -> None:
    old = await ana.create(expires_at=IN_AN_HOUR)
    await ana.call("POST", f"/{old['id']}/rotate")
    after = (await ana.call("GET", f"/{old['id']}")).json()
    assert after["expires_at"] == old["expires_at"]
    for wrong in (-1, 30 * 86400 + 1, 2**70):
        assert (await ana.call("POST", f"/{old['id']}/rotate", overlap_seconds=wrong)).status_code == 422


async def test_revoking_and_rotating_at_once_end_the_tokens_of_the_key(ana: Caller, sessions: Sessions) -> None:
    revoked, rotated = await ana.create(), await ana.create()
    assert (await ana.call("DELETE", f"/{revoked['id']}")).status_code == 204
    assert (await ana.call("DELETE", f"/{revoked['id']}")).status_code == 204
    assert (await ana.call("POST", f"/{rotated['id']}/rotate", overlap_seconds=0)).status_code == 201
    async with sessions() as session:
        subjects = list(await session.scalars(select(Revocation.subject)))
        about_keys = select(AuditEvent.action).where(AuditEvent.action.startswith("api_key."))
        actions = list(await session.scalars(about_keys.order_by(AuditEvent.id)))
    assert subjects == [revoked["id"], rotated["id"]]
    assert actions == ["api_key.create", "api_key.create", "api_key.revoke", "api_key.rotate"]
    for ended in (revoked, rotated):
        assert (await ana.call("PATCH", f"/{ended['id']}", name="x")).status_code == 409
        assert (await ana.call("POST", f"/{ended['id']}/rotate")).status_code == 409


async def test_of_many_rotations_at_two_replicas_one_succeeds(
    start_auth: StartAuth, ana: Caller, sessions: Sessions
) -> None:
    key_id = (await ana.create())["id"]
    async with start_auth() as other:
        callers = [ana, Caller(other, ana.token, ana.user_id)] * 5
        answers = await asyncio.gather(*(one.call("POST", f"/{key_id}/rotate") for one in callers))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    async with sessions() as session:
        assert len((await session.scalars(select(ApiKey))).all()) == 2


async def test_a_key_makes_no_keys_unless_it_may_administer(ana: Caller, admin: Caller) -> None:
    made = await ana.create()
    key = await with_key(ana.auth, made)
    for method, path in (("POST", ""), ("POST", f"/{made['id']}/rotate"), ("PATCH", f"/{made['id']}")):
        refused = await key.call(method, path, **({"name": "x"} if not path.endswith("rotate") else {}))
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    other = await ana.create()
    assert (await key.call("DELETE", f"/{other['id']}")).status_code == 403
    assert (await key.call("DELETE", f"/{made['id']}")).status_code == 204

    strong = await with_key(ana.auth, await admin.create(scopes=["admin", "llm:read"]))
    assert (await strong.create())["scopes"] == ["llm:read"]
    assert (await strong.call("POST", name="x", scopes=["llm:invoke"])).status_code == 403
    wider = await admin.create(scopes=["admin", "llm:invoke"])
    assert (await strong.call("POST", f"/{wider['id']}/rotate")).status_code == 403


async def test_a_key_with_limits_cannot_free_itself(admin: Caller) -> None:
    made = await admin.create(scopes=["admin"], budget={"usd": "1", "period": "total"})
    key = await with_key(admin.auth, made)
    path = f"/{made['id']}"
    for answer in (
        await key.call("POST", name="x"),
        await key.call("PATCH", path, budget=None),
        await key.call("POST", f"{path}/rotate"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "limited_key")


@pytest.mark.parametrize(
    "asked",
    [
        {"expires_at": "9999-12-31T23:59:59-12:00"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
        {"name": "two\nlines"},
        {"name": "\u202eturned around"},
    ],
)
async def test_what_cannot_be_kept_or_shown_is_refused(ana: Caller, asked: dict[str, str]) -> None:
    made = await ana.create()
    assert (await ana.call("POST", **({"name": "x"} | asked))).status_code == 422
    assert (await ana.call("PATCH", f"/{made['id']}", **asked)).status_code == 422
    assert (await ana.call("POST", name="x", expires_at="9999-12-31T23:59:59Z")).status_code == 201
