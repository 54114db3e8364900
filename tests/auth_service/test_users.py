"""Accounts: one's own, and those that an administrator administers."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from auth_service.organizations.models import Membership
from auth_service.sessions.models import LoginSession
from auth_service.users.models import User
from auth_service.users.passwords import Passwords
from auth_service.users.repository import lock_owners
from shared.database import Sessions
from tests.auth_service.calling import audited, log_in, revoked, until_somebody_waits
from tests.auth_service.conftest import ADMIN_PASSWORD, StartAuth
from tests.auth_service.factories import PASSWORD, give_role, make_user

NEW = "a wholly different secret"


def user(username: str = "bob", **fields: Any) -> dict[str, Any]:
    return {"username": username, "password": PASSWORD, **fields}


async def test_an_admin_makes_a_user_who_logs_in(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    admin = await log_in(auth)
    made = await admin("POST", "/users", user("  BOB ", email="Bob@Example.ORG", role="developer"))
    assert made.status_code == 201
    assert made.json()["username"] == "bob"
    assert made.json()["email"] == "bob@example.org"
    assert "password" not in made.text
    me = (await (await log_in(auth, "bob"))("GET", "/me")).json()
    assert me["role"] == "developer"
    assert me["organization"]["name"] == "Default"
    assert "user.create" in await audited(sessions)


async def test_names_are_unique_however_they_are_typed(auth: httpx2.AsyncClient) -> None:
    admin = await log_in(auth)
    await admin("POST", "/users", user(email="bob@example.org"))
    same_name = await admin("POST", "/users", user("ＢＯＢ"))
    same_email = await admin("POST", "/users", user("bobby", email="BOB@example.org"))
    assert (same_name.status_code, same_name.json()["code"]) == (409, "username_taken")
    assert (same_email.status_code, same_email.json()["code"]) == (409, "email_taken")


async def test_of_two_who_want_a_name_at_once_one_gets_it(start_auth: StartAuth) -> None:
    async with start_auth() as one, start_auth() as two:
        callers = [await log_in(one), await log_in(two)]
        answers = await asyncio.gather(*(callers[n % 2]("POST", "/users", user()) for n in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


@pytest.mark.parametrize(
    "body",
    [
        user("b"),
        user("b" * 65),
        user("bob bob"),
        user("-bob"),
        user("bob\0"),
        user("bo\u200bb"),
        user("usr_" + "0" * 32),
        user(email="nobody"),
        user(email="a@b"),
        user(email="a\n@example.org"),
        user(display_name="two\nlines"),
        user(role="emperor"),
        user(organization_id="org_x"),
        user(id="usr_x"),
        user(kind="service"),
        user(disabled_at=None),
        {"username": "bob"},
    ],
)
async def test_what_is_no_user_is_refused(auth: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    answer = await (await log_in(auth))("POST", "/users", body)
    assert answer.status_code == 422, answer.text


async def test_half_of_a_surrogate_pair_is_no_name(auth: httpx2.AsyncClient) -> None:
    admin = await log_in(auth)
    headers = {"authorization": f"Bearer {admin.token['access_token']}", "content-type": "application/json"}
    for field in ("username", "display_name", "password"):
        body = json.dumps(user() | {field: "bo\ud83db and more text"}).encode()
        assert (await auth.post("/api/auth/users", content=body, headers=headers)).status_code in (400, 422)


async def test_a_weak_password_is_refused_and_told_why(auth: httpx2.AsyncClient) -> None:
    answer = await (await log_in(auth))("POST", "/users", user() | {"password": "password2026!"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "password_too_common"
    assert "password2026!" not in answer.text


@pytest.mark.parametrize("role", ["developer", "member", "viewer"])
async def test_without_the_scope_nobody_administers(auth: httpx2.AsyncClient, sessions: Sessions, role: str) -> None:
    ana = await make_user(sessions, role=role)
    caller = await log_in(auth, "ana")
    for method, path in [("GET", "/users"), ("GET", f"/users/{ana.id}"), ("DELETE", f"/users/{ana.id}")]:
        assert (await caller(method, path)).status_code == 403
    assert (await caller("POST", "/users", user())).status_code == 403
    assert (await caller("PATCH", f"/users/{ana.id}", {"disabled": True})).status_code == 403


async def test_another_organizations_user_is_as_unknown_as_nobody(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    ana = await make_user(sessions, role="owner")
    admin = await log_in(auth)
    for method, body in [("GET", None), ("PATCH", {"disabled": True}), ("DELETE", None)]:
        theirs = await admin(method, f"/users/{ana.id}", body)
        nobodys = await admin(method, "/users/usr_" + "0" * 32, body)
        assert theirs.status_code == nobodys.status_code == 404
        ignored = {"request_id": "", "instance": ""}
        assert theirs.json() | ignored == nobodys.json() | ignored
    assert ana.id not in (await admin("GET", "/users?limit=100")).text
    assert (await admin("GET", "/users/usr%00")).status_code == 422


async def test_lists_come_in_pages(auth: httpx2.AsyncClient) -> None:
    admin = await log_in(auth)
    for name in ("bob", "eve", "mia"):
        await admin("POST", "/users", user(name))
    first = (await admin("GET", "/users?limit=3")).json()
    rest = (await admin("GET", f"/users?limit=3&cursor={first['next_cursor']}")).json()
    assert [each["username"] for each in first["data"] + rest["data"]] == ["admin", "bob", "eve", "mia"]
    assert rest["next_cursor"] is None
    assert (await admin("GET", "/users?cursor=nonsense")).status_code == 400


async def test_a_disabled_user_is_out_until_enabled(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    admin = await log_in(auth)
    bob = (await admin("POST", "/users", user())).json()["id"]
    caller = await log_in(auth, "bob")
    disabled = await admin("PATCH", f"/users/{bob}", {"disabled": True})
    assert disabled.json()["disabled"] is True
    assert bob in await revoked(sessions)
    assert (await caller("GET", "/me")).status_code == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": caller.token["refresh_token"]}
    assert (await auth.post("/api/auth/token", data=refresh)).status_code == 400
    assert (await auth.post("/api/auth/token", json=user())).status_code == 401
    assert (await admin("PATCH", f"/users/{bob}", {"disabled": False})).json()["disabled"] is False
    await log_in(auth, "bob")
    assert (await auth.post("/api/auth/token", data=refresh)).status_code == 400  # what was ended stays ended
    actions = await audited(sessions)
    assert [action for action in actions if action in ("user.update", "user.disable", "user.enable")] == [
        "user.disable",
        "user.enable",
    ]


async def test_a_deleted_user_has_gone(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    admin = await log_in(auth)
    bob = (await admin("POST", "/users", user())).json()["id"]
    caller = await log_in(auth, "bob")
    assert (await admin("DELETE", f"/users/{bob}")).status_code == 204
    assert (await admin("DELETE", f"/users/{bob}")).status_code == 404
    assert (await caller("GET", "/me")).status_code == 401
    assert bob in await revoked(sessions)
    assert "user.delete" in await audited(sessions)


async def test_an_admins_new_password_for_a_user_ends_the_old_one(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    admin = await log_in(auth)
    bob = (await admin("POST", "/users", user())).json()["id"]
    await log_in(auth, "bob")
    assert (await admin("PATCH", f"/users/{bob}", {"password": NEW})).status_code == 200
    assert bob in await revoked(sessions)
    assert (await auth.post("/api/auth/token", json=user())).status_code == 401
    await log_in(auth, "bob", NEW)
    me = (await admin("GET", "/me")).json()["id"]
    own = await admin("PATCH", f"/users/{me}", {"password": NEW})
    assert (own.status_code, own.json()["code"]) == (403, "own_password")


async def test_the_last_owner_stays(auth: httpx2.AsyncClient) -> None:
    admin = await log_in(auth)
    me = (await admin("GET", "/me")).json()["id"]
    for method, body in [("DELETE", None), ("PATCH", {"disabled": True})]:
        answer = await admin(method, f"/users/{me}", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")


async def test_two_owners_who_disable_each_other_at_once_leave_one(start_auth: StartAuth) -> None:
    async with start_auth() as one, start_auth() as two:
        admin = await log_in(one)
        bob = (await admin("POST", "/users", user(role="owner"))).json()["id"]
        me = (await admin("GET", "/me")).json()["id"]
        other = await log_in(two, "bob")
        answers = await asyncio.gather(
            admin("PATCH", f"/users/{bob}", {"disabled": True}), other("PATCH", f"/users/{me}", {"disabled": True})
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_an_admin_neither_makes_owners_nor_touches_them(auth: httpx2.AsyncClient) -> None:
    owner = await log_in(auth)
    me = (await owner("GET", "/me")).json()["id"]
    await owner("POST", "/users", user(role="admin"))
    admin = await log_in(auth, "bob")
    for method, path, body in [
        ("POST", "/users", user("eve", role="owner")),
        ("PATCH", f"/users/{me}", {"password": NEW}),
        ("PATCH", f"/users/{me}", {"disabled": True}),
        ("DELETE", f"/users/{me}", None),
    ]:
        answer = await admin(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "owner_required"), path


async def test_an_admin_touches_nobody_who_becomes_an_owner_meanwhile(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    owner = await log_in(auth)
    await owner("POST", "/users", user(role="admin"))
    eve = (await owner("POST", "/users", user("eve"))).json()["id"]
    admin = await log_in(auth, "bob")
    async with sessions.begin() as session:
        await lock_owners(session)
        changing = asyncio.create_task(admin("PATCH", f"/users/{eve}", {"password": NEW, "disabled": True}))
        await until_somebody_waits(sessions)
        await session.execute(update(Membership).where(Membership.user_id == eve).values(role="owner"))
    assert (await changing).json()["code"] == "owner_required"
    await log_in(auth, "eve")


async def test_i_change_what_others_see_of_me_and_nothing_else(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    await make_user(sessions)
    ana = await log_in(auth, "ana")
    changed = await ana("PATCH", "/me", {"display_name": " Ana Souza ", "email": "ANA@example.org"})
    assert (changed.json()["display_name"], changed.json()["email"]) == ("Ana Souza", "ana@example.org")
    assert (await ana("PATCH", "/me", {"email": None})).json()["email"] is None
    for field in ("username", "role", "organization_id", "password", "scopes", "disabled"):
        assert (await ana("PATCH", "/me", {field: "admin"})).status_code == 422, field


async def test_a_new_password_ends_every_other_session(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    await make_user(sessions)
    here, elsewhere = await log_in(auth, "ana"), await log_in(auth, "ana")
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await here("POST", "/me/password", body)).status_code == 204
    async with sessions() as session:
        ended = (await session.scalars(select(LoginSession.id).where(LoginSession.revoked_at.is_not(None)))).all()
    assert len(ended) == 1
    assert set(ended) == await revoked(sessions)
    for caller, status in [(here, 200), (elsewhere, 400)]:
        refresh = {"grant_type": "refresh_token", "refresh_token": caller.token["refresh_token"]}
        assert (await auth.post("/api/auth/token", data=refresh)).status_code == status
    await log_in(auth, "ana", NEW)
    assert "user.change_password" in await audited(sessions)


async def test_a_wrong_current_password_changes_nothing_and_counts(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await make_user(sessions)
    ana = await log_in(auth, "ana")
    body = {"current_password": "wrong", "new_password": NEW}
    answers = [(await ana("POST", "/me/password", body)).status_code for _ in range(7)]
    assert answers[:6] == [403] * 6
    assert answers[6] == 429
    assert (await audited(sessions)).count("password_check.failure!") == 6
    async with sessions() as session:
        assert await session.scalar(select(User.id).where(User.username == "ana")) is not None


async def test_my_new_password_has_to_be_good_too(auth: httpx2.AsyncClient) -> None:
    admin = await log_in(auth)
    body = {"current_password": ADMIN_PASSWORD, "new_password": "xx-admin-xx-94"}
    assert (await admin("POST", "/me/password", body)).json()["code"] == "password_holds_username"


async def test_roles_are_looked_at_again_once_the_password_is_hashed(
    auth: httpx2.AsyncClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing waits for its turn, seconds in a flood of logins. What happens meanwhile is put into the hashing here."""
    admin = await log_in(auth)
    organization = (await admin("GET", "/me")).json()["organization"]["id"]
    ana = await make_user(sessions, role="admin", organization_id=organization)
    bob = await make_user(sessions, "bob", organization_id=organization)
    changing = await log_in(auth, "ana")
    hash_password = Passwords.hash

    def meanwhile(somebody: User, role: str) -> None:
        async def hash_slowly(passwords: Passwords, password: str) -> str:
            await give_role(sessions, somebody, role)
            return await hash_password(passwords, password)

        monkeypatch.setattr(Passwords, "hash", hash_slowly)

    meanwhile(bob, "owner")
    assert (await changing("PATCH", f"/users/{bob.id}", {"password": NEW})).status_code == 403
    meanwhile(ana, "member")
    assert (await changing("POST", "/users", user("eve", role="admin"))).status_code == 403
    await log_in(auth, "bob")
    names = [each["username"] for each in (await admin("GET", "/users")).json()["data"]]
    assert "eve" not in names
