"""Organizations, their members, and the walls between them."""

import asyncio

import httpx2
import jwt
import pytest
from sqlalchemy import delete, func, select, update

from auth_service.organizations.models import Membership, Organization
from auth_service.users.models import User
from auth_service.users.repository import lock_owners
from shared.database import Sessions
from tests.auth_service.api_keys.conftest import exchange
from tests.auth_service.calling import Caller, audited, log_in, revoked, until_somebody_waits
from tests.auth_service.conftest import StartAuth
from tests.auth_service.factories import PASSWORD, give_role, make_user
from tests.auth_service.logins import refresh


async def home(caller: Caller) -> str:
    return str((await caller("GET", "/me")).json()["organization"]["id"])


def error(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_an_admin_founds_an_organization_and_switches_to_it(auth: httpx2.AsyncClient) -> None:
    admin = await log_in(auth)
    made = await admin("POST", "/organizations", {"name": " Research "})
    assert made.status_code == 201
    assert (made.json()["name"], made.json()["role"]) == ("Research", "owner")
    listed = (await admin("GET", "/organizations")).json()["data"]
    assert [each["name"] for each in listed] == ["Default", "Research"]
    there = await log_in(auth, organization_id=made.json()["id"])
    assert await home(there) == made.json()["id"]
    assert (await there("PATCH", f"/organizations/{made.json()['id']}", {"name": "Lab"})).json()["name"] == "Lab"
    assert (await there("DELETE", f"/organizations/{made.json()['id']}")).status_code == 204
    assert (await there("GET", "/me")).status_code == 401


async def test_only_admins_found_organizations_unless_everybody_may_register(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    """An owner makes accounts, so a member who founds one would open a closed registration."""
    await make_user(sessions)
    async with start_auth(registration="invite") as auth:
        ana = await log_in(auth, "ana")
        assert (await ana("POST", "/organizations", {"name": "Mine"})).status_code == 403
    async with start_auth(registration="open") as auth:
        ana = await log_in(auth, "ana")
        assert (await ana("POST", "/organizations", {"name": "Mine"})).status_code == 201


async def test_anothers_organization_is_as_unknown_as_none(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    ana = await make_user(sessions, role="owner")
    admin = await log_in(auth)
    theirs, nobodys = f"/organizations/{ana.organization_id}", "/organizations/org_" + "0" * 32
    member = {"username": "ana", "role": "member"}
    for method, rest, body in [
        ("GET", "", None),
        ("PATCH", "", {"name": "Mine"}),
        ("DELETE", "", None),
        ("GET", "/members", None),
        ("POST", "/members", member),
        ("PATCH", f"/members/{ana.id}", {"role": "viewer"}),
        ("DELETE", f"/members/{ana.id}", None),
        ("POST", "/invitations", {}),
        ("GET", "/invitations", None),
        ("DELETE", "/invitations/inv_x", None),
    ]:
        answers = [await admin(method, f"{where}{rest}", body) for where in (theirs, nobodys)]
        one, other = (answer.json() | {"request_id": "", "instance": ""} for answer in answers)
        assert answers[0].status_code == 404, rest
        assert one == other


async def test_an_organization_to_which_accounts_belong_stays(auth: httpx2.AsyncClient) -> None:
    admin = await log_in(auth)
    assert error(await admin("DELETE", f"/organizations/{await home(admin)}")) == (409, "organization_in_use")


async def test_a_member_is_added_changed_and_removed(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    ana = await make_user(sessions)
    admin = await log_in(auth)
    members = f"/organizations/{await home(admin)}/members"
    added = await admin("POST", members, {"username": "ANA", "role": "viewer"})
    assert (added.status_code, added.json()["role"]) == (201, "viewer")
    assert error(await admin("POST", members, {"username": "ana", "role": "viewer"})) == (409, "already_member")
    assert error(await admin("POST", members, {"username": "nobody", "role": "viewer"})) == (404, "user_not_found")
    there = await log_in(auth, "ana", organization_id=await home(admin))
    assert (await admin("PATCH", f"{members}/{ana.id}", {"role": "developer"})).json()["role"] == "developer"
    assert f"{ana.id}/{await home(admin)}" in await revoked(sessions)
    assert (await admin("DELETE", f"{members}/{ana.id}")).status_code == 204
    assert (await there("GET", "/me")).status_code == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": there.token["refresh_token"]}
    assert (await auth.post("/api/auth/token", data=refresh)).status_code == 400
    await log_in(auth, "ana")  # at home nothing has changed
    assert {"member.add", "member.change_role", "member.remove"} <= set(await audited(sessions))


async def test_of_a_guest_an_admin_sees_no_more_than_the_name(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    ana = await make_user(sessions)
    await (await log_in(auth, "ana"))("PATCH", "/me", {"email": "ana@example.org"})
    admin = await log_in(auth)
    await admin("POST", f"/organizations/{await home(admin)}/members", {"username": "ana", "role": "member"})
    seen = (await admin("GET", f"/users/{ana.id}")).json()
    assert (seen["username"], seen["email"], seen["managed"]) == ("ana", None, False)
    for method, body in [("PATCH", {"disabled": True}), ("PATCH", {"password": "x" * 20}), ("DELETE", None)]:
        assert error(await admin(method, f"/users/{ana.id}", body)) == (404, "user_not_found")


async def test_whoever_was_added_may_leave_but_not_from_home(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    ana = await make_user(sessions)
    admin = await log_in(auth)
    where = await home(admin)
    await admin("POST", f"/organizations/{where}/members", {"username": "ana", "role": "member"})
    caller = await log_in(auth, "ana")
    assert (await caller("DELETE", f"/organizations/{where}/members/{ana.id}")).status_code == 204
    left = await caller("DELETE", f"/organizations/{ana.organization_id}/members/{ana.id}")
    assert error(left) == (409, "belongs_here")


async def test_an_admin_gives_no_ownership_and_takes_none(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    owner = await log_in(auth)
    members = f"/organizations/{await home(owner)}/members"
    me = (await owner("GET", "/me")).json()["id"]
    await make_user(sessions, role="admin", organization_id=await home(owner))
    await make_user(sessions, "eve")
    admin = await log_in(auth, "ana")
    ana = (await admin("GET", "/me")).json()["id"]
    for method, path, body in [
        ("POST", members, {"username": "eve", "role": "owner"}),
        ("PATCH", f"{members}/{ana}", {"role": "owner"}),
        ("PATCH", f"{members}/{me}", {"role": "viewer"}),
        ("DELETE", f"{members}/{me}", None),
        ("POST", f"/organizations/{await home(owner)}/invitations", {"role": "owner"}),
        ("DELETE", f"/organizations/{await home(owner)}", None),
    ]:
        assert error(await admin(method, path, body)) == (403, "owner_required"), path


async def test_an_admin_who_is_none_any_more_administers_nothing(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    """Also with a token from before, where nobody has heard of its revocation yet."""
    owner = await log_in(auth)
    where = await home(owner)
    ana: User = await make_user(sessions, role="admin", organization_id=where)
    admin = await log_in(auth, "ana")
    assert "admin" in jwt.decode(admin.token["access_token"], options={"verify_signature": False})["scope"]
    await owner("PATCH", f"/organizations/{where}/members/{ana.id}", {"role": "viewer"})
    assert (await admin("POST", f"/organizations/{where}/invitations", {})).status_code in (401, 403)
    assert (await admin("PATCH", f"/users/{ana.id}", {"disabled": True})).status_code in (401, 403)


async def test_two_owners_who_demote_each_other_at_once_leave_one(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth() as one, start_auth() as two:
        admin = await log_in(one)
        where = await home(admin)
        ana = await make_user(sessions, role="owner", organization_id=where)
        me = (await admin("GET", "/me")).json()["id"]
        other = await log_in(two, "ana")
        path, viewer = f"/organizations/{where}/members", {"role": "viewer"}
        answers = await asyncio.gather(
            admin("PATCH", f"{path}/{ana.id}", viewer), other("PATCH", f"{path}/{me}", viewer)
        )
    assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 409])


async def test_the_last_owner_is_not_demoted(auth: httpx2.AsyncClient) -> None:
    admin = await log_in(auth)
    me = (await admin("GET", "/me")).json()["id"]
    path = f"/organizations/{await home(admin)}/members/{me}"
    assert error(await admin("PATCH", path, {"role": "viewer"})) == (409, "last_owner")


async def test_a_service_account_has_a_role_and_no_password(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    admin = await log_in(auth)
    made = await admin("POST", "/service-accounts", {"name": "nightly build", "role": "developer"})
    assert made.status_code == 201
    bot = made.json()["id"]
    login = await auth.post("/api/auth/token", json={"username": bot, "password": "anything"})
    assert login.status_code == 401
    assert [each["id"] for each in (await admin("GET", "/service-accounts")).json()["data"]] == [bot]
    assert bot not in (await admin("GET", "/users")).text
    assert (await admin("PATCH", f"/users/{bot}", {"password": "a password for a program"})).status_code == 404
    members = f"/organizations/{await home(admin)}/members/{bot}"
    assert error(await admin("PATCH", members, {"role": "owner"})) == (409, "not_for_programs")
    assert (await admin("POST", "/service-accounts", {"name": "x", "role": "owner"})).status_code == 422
    assert (await admin("PATCH", f"/service-accounts/{bot}", {"disabled": True})).json()["disabled"] is True
    assert bot in await revoked(sessions)
    assert (await admin("DELETE", f"/service-accounts/{bot}")).status_code == 204
    assert (await admin("GET", f"/service-accounts/{bot}")).status_code == 404


async def test_anothers_service_account_is_unknown(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    admin = await log_in(auth)
    bot = (await admin("POST", "/service-accounts", {"name": "build"})).json()["id"]
    await make_user(sessions, role="owner")
    ana = await log_in(auth, "ana")
    for method, body in [("GET", None), ("PATCH", {"disabled": True}), ("DELETE", None)]:
        answer = await ana(method, f"/service-accounts/{bot}", body)
        assert error(answer) == (404, "service_account_not_found")
    assert (await ana("GET", "/service-accounts")).json()["data"] == []


async def found_with_guest(auth: httpx2.AsyncClient, sessions: Sessions) -> tuple[Caller, User, str]:
    """An organization to which no account belongs, its owner, and somebody who was added."""
    made = (await (await log_in(auth))("POST", "/organizations", {"name": "Research"})).json()["id"]
    ana = await make_user(sessions)
    owner = await log_in(auth, organization_id=made)
    await owner("POST", f"/organizations/{made}/members", {"username": "ana", "role": "member"})
    return owner, ana, made


@pytest.mark.parametrize("how", ["login", "renewal", "key"])
async def test_an_organization_that_is_deleted_while_a_guest_comes_in_leaves_no_deadlock(
    auth: httpx2.AsyncClient, sessions: Sessions, how: str
) -> None:
    _, _, where = await found_with_guest(auth, sessions)
    guest = await log_in(auth, "ana", organization_id=where)
    async with sessions.begin() as session:
        await session.execute(select(Organization).where(Organization.id == where).with_for_update())
        login = {"username": "ana", "password": PASSWORD, "organization_id": where}
        ways = {
            "login": lambda: auth.post("/api/auth/token", json=login),
            "renewal": lambda: refresh(auth, guest.token["refresh_token"]),
            "key": lambda: guest("POST", "/api-keys", {"name": "x"}),
        }
        asking = asyncio.create_task(ways[how]())
        await until_somebody_waits(sessions)
        await session.execute(delete(Organization).where(Organization.id == where))
    assert (await asking).status_code == {"login": 401, "renewal": 400, "key": 404}[how]


async def test_who_joins_while_the_organization_is_deleted_is_put_out_too(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    owner, _, where = await found_with_guest(auth, sessions)
    eve = await make_user(sessions, "eve")
    async with sessions.begin() as session:
        session.add(Membership(user_id=eve.id, organization_id=where, role="member"))
        await session.flush()
        deleting = asyncio.create_task(owner("DELETE", f"/organizations/{where}"))
        await until_somebody_waits(sessions)
    assert (await deleting).status_code == 204
    assert f"{eve.id}/{where}" in await revoked(sessions)
    async with sessions() as session:
        left = select(func.count()).select_from(Membership).where(Membership.organization_id == where)
        assert await session.scalar(left) == 0


async def test_an_api_key_reaches_none_of_its_owners_other_organizations(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    _, ana, elsewhere = await found_with_guest(auth, sessions)
    made = await (await log_in(auth, "ana"))("POST", "/api-keys", {"name": "x"})
    key = Caller(auth, (await exchange(auth, made.json()["key"])).json())
    assert (await key("GET", f"/organizations/{ana.organization_id}")).status_code == 200
    assert error(await key("GET", f"/organizations/{elsewhere}")) == (404, "organization_not_found")
    assert error(await key("GET", "/organizations")) == (403, "not_a_login")
    assert error(await key("DELETE", f"/organizations/{elsewhere}/members/{ana.id}")) == (403, "not_a_login")


async def test_a_demoted_admins_token_reads_no_lists_any_more(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    """Nobody waits for the news of the revocation: the role is looked up."""
    admin = await log_in(auth)
    organization = await home(admin)
    ana = await make_user(sessions, role="admin", organization_id=organization)
    demoted = await log_in(auth, "ana")
    made = await admin("POST", "/service-accounts", {"name": "robot", "role": "member"})
    reads = [
        "/users",
        f"/users/{ana.id}",
        "/service-accounts",
        f"/service-accounts/{made.json()['id']}",
        "/audit-events",
        f"/organizations/{organization}/members",
        f"/organizations/{organization}/invitations",
    ]
    assert [(await demoted("GET", path)).status_code for path in reads] == [200] * len(reads)
    await give_role(sessions, ana, "member")
    assert [(await demoted("GET", path)).status_code for path in reads] == [403] * len(reads)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/organizations/{there}/members/{bob}"),
        ("DELETE", "/organizations/{there}/members/{bob}"),
        ("DELETE", "/users/{bob}"),
    ],
)
async def test_who_is_made_an_owner_at_that_moment_is_not_an_admins_to_change(
    auth: httpx2.AsyncClient, sessions: Sessions, method: str, path: str
) -> None:
    there = await home(await log_in(auth))
    await make_user(sessions, role="admin", organization_id=there)
    bob = (await make_user(sessions, "bob", organization_id=there)).id
    admin = await log_in(auth, "ana")
    async with sessions.begin() as session:
        await lock_owners(session)
        body = {"role": "viewer"} if method == "PATCH" else None
        asking = asyncio.create_task(admin(method, path.format(there=there, bob=bob), body))
        await until_somebody_waits(sessions)
        await session.execute(update(Membership).where(Membership.user_id == bob).values(role="owner"))
    assert error(await asking) == (403, "owner_required")


async def test_an_organization_can_read_who_came_by_switching(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    admin = await log_in(auth)
    there = (await admin("POST", "/organizations", {"name": "There"})).json()["id"]
    renewal = {"grant_type": "refresh_token", "refresh_token": admin.token["refresh_token"], "organization_id": there}
    switched = Caller(auth, (await auth.post("/api/auth/token", json=renewal)).json())
    (event,) = (await switched("GET", "/audit-events?action=session.switch")).json()["data"]
    assert event["target"] == jwt.decode(switched.token["access_token"], options={"verify_signature": False})["sid"]
    again = renewal | {"refresh_token": switched.token["refresh_token"]}
    assert (await auth.post("/api/auth/token", json=again)).status_code == 200
    assert (await audited(sessions)).count("session.switch") == 1
