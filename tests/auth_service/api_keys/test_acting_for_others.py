"""Keys of other people: whoever holds one is its owner, so few may make it."""

import asyncio

import pytest
from sqlalchemy import delete, select

from auth_service.organizations.models import Membership
from auth_service.users.models import User
from shared.database import Sessions
from tests.auth_service.api_keys.conftest import Caller, exchange, logged_in
from tests.auth_service.calling import until_somebody_waits
from tests.auth_service.factories import give_role, make_user


async def test_an_admin_does_not_become_an_owner_by_a_key_of_one(
    admin: Caller, sessions: Sessions, ana_user: User
) -> None:
    """Who holds a key is its owner: the gateway's token for it says so."""
    await make_user(sessions, "bea", role="admin", organization_id=ana_user.organization_id)
    bea = await logged_in(admin.auth, "bea")
    his = (await admin.create(scopes=["admin"]))["id"]
    for answer in (
        await bea.call("POST", name="x", user_id=admin.user_id),
        await bea.call("POST", f"/{his}/rotate"),
        await bea.call("PATCH", f"/{his}", expires_at=None),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "owner_required")
    assert (await bea.call("DELETE", f"/{his}")).status_code == 204  # whoever finds a leaked key may end it


async def test_an_admin_acts_for_nobody_whose_account_belongs_elsewhere(
    admin: Caller, stranger: Caller, ana_user: User, sessions: Sessions
) -> None:
    async with sessions.begin() as session:
        guest = Membership(user_id=stranger.user_id, organization_id=ana_user.organization_id, role="member")
        session.add(guest)
    here = await logged_in(admin.auth, "eve", organization_id=ana_user.organization_id)
    hers = (await here.create())["id"]
    for answer in (
        await admin.call("POST", name="x", user_id=stranger.user_id),
        await admin.call("POST", f"/{hers}/rotate"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")


async def test_a_demoted_admins_token_reaches_nobody_elses_keys(
    admin: Caller, ana_user: User, sessions: Sessions
) -> None:
    """A key that is made for the owner in the last seconds of such a token would be a way back for good."""
    await give_role(sessions, ana_user, "admin")
    demoted = await logged_in(admin.auth, "ana")
    key = await admin.create("the owner's")
    assert (await demoted.call("GET", f"/{key['id']}")).status_code == 200
    await give_role(sessions, ana_user, "member")
    made = await demoted.call("POST", name="back", user_id=admin.user_id, scopes=["admin"])
    assert made.status_code == 403
    assert (await demoted.call("POST", f"/{key['id']}/rotate")).status_code == 404
    assert (await demoted.call("PATCH", f"/{key['id']}", name="x")).status_code == 404
    assert (await demoted.call("DELETE", f"/{key['id']}")).status_code == 404
    assert (await demoted.call("GET")).json()["data"] == []
    assert (await demoted.call("POST", name="mine", scopes=["llm:read"])).status_code == 201


@pytest.mark.parametrize("asks", ["exchange", "rotate"])
async def test_a_user_who_is_deleted_while_a_key_is_used_or_rotated_leaves_no_deadlock(
    ana: Caller, sessions: Sessions, asks: str
) -> None:
    made = await ana.create()
    async with sessions.begin() as session:
        await session.execute(select(User).where(User.id == ana.user_id).with_for_update())
        asking = asyncio.create_task(
            exchange(ana.auth, made["key"]) if asks == "exchange" else ana.call("POST", f"/{made['id']}/rotate")
        )
        await until_somebody_waits(sessions)
        await session.execute(delete(User).where(User.id == ana.user_id))
    answer = await asking
    assert answer.status_code in (400, 404), answer.text
