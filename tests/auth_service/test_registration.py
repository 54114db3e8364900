"""Who may register: nobody, whoever was invited, or anybody."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, update

from auth_service.logins.models import LoginThrottle
from auth_service.logins.service import ADDRESS
from auth_service.organizations.models import Invitation, Membership
from shared.database import Sessions
from tests.auth_service.calling import Caller, audited, log_in
from tests.auth_service.conftest import StartAuth
from tests.auth_service.factories import PASSWORD, make_user


async def register(auth: httpx2.AsyncClient, username: str = "bob", **fields: Any) -> httpx2.Response:
    body = {"username": username, "password": PASSWORD, **fields}
    return await auth.post("/api/auth/register", json=body, headers={"x-forwarded-for": "192.0.2.7"})


async def invite(admin: Caller, **fields: Any) -> dict[str, Any]:
    where = (await admin("GET", "/me")).json()["organization"]["id"]
    answer = await admin("POST", f"/organizations/{where}/invitations", fields)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return {**answer.json(), "path": f"/organizations/{where}/invitations"}


def error(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_nobody_registers_unless_a_setting_says_so(auth: httpx2.AsyncClient) -> None:
    token = (await invite(await log_in(auth)))["token"]
    assert error(await register(auth)) == (403, "registration_closed")
    assert error(await register(auth, invitation=token)) == (403, "registration_closed")


async def test_an_open_registration_gives_an_organization_of_ones_own(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async with start_auth(registration="open") as auth:
        made = await register(auth, email="BOB@example.org", organization_name="Bob & Co")
        assert made.status_code == 201
        me = (await (await log_in(auth, "bob"))("GET", "/me")).json()
        assert (me["role"], me["organization"]["name"], me["email"]) == ("owner", "Bob & Co", "bob@example.org")
        assert (await (await log_in(auth, "bob"))("GET", "/users")).json()["data"][0]["username"] == "bob"
    assert "user.register" in await audited(sessions)


@pytest.mark.parametrize(
    "fields", [{"role": "admin"}, {"organization_id": "org_x"}, {"scopes": "admin"}, {"kind": "service"}]
)
async def test_nobody_gives_themselves_a_role(start_auth: StartAuth, fields: dict[str, str]) -> None:
    async with start_auth(registration="open") as auth:
        assert (await register(auth, **fields)).status_code == 422


async def test_an_invitation_lets_one_in_once(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth(registration="invite") as auth:
        admin = await log_in(auth)
        invitation = await invite(admin, role="developer")
        assert error(await register(auth)) == (403, "invitation_required")
        assert error(await register(auth, "admin", invitation=invitation["token"])) == (409, "name_taken")
        made = await register(auth, invitation=invitation["token"])
        assert (made.status_code, made.json()["role"]) == (201, "developer")
        assert error(await register(auth, "eve", invitation=invitation["token"])) == (403, "invitation_refused")
        assert (await admin("GET", invitation["path"])).json()["data"] == []
        me = (await (await log_in(auth, "bob"))("GET", "/me")).json()
        assert me["organization"]["name"] == "Default"
    assert {"invitation.create", "user.register", "registration.failure!"} <= set(await audited(sessions))


async def test_of_ten_who_use_an_invitation_at_once_one_gets_in(start_auth: StartAuth) -> None:
    async with start_auth(registration="invite") as one, start_auth(registration="invite") as two:
        token = (await invite(await log_in(one)))["token"]
        answers = await asyncio.gather(*(register((one, two)[n % 2], f"user{n}", invitation=token) for n in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [403] * 9


async def test_an_invitation_that_does_not_hold_is_refused_in_the_same_words(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async with start_auth(registration="invite") as auth:
        admin = await log_in(auth)
        tokens = ["inv-syn-unknown", "\u00fc\0"]
        revoked = await invite(admin)
        assert (await admin("DELETE", f"{revoked['path']}/{revoked['id']}")).status_code == 204
        assert (await admin("DELETE", f"{revoked['path']}/{revoked['id']}")).status_code == 404
        for_another = await invite(admin, email="eve@example.org")
        expired = await invite(admin)
        async with sessions.begin() as session:
            past = func.now() - timedelta(seconds=1)
            await session.execute(update(Invitation).where(Invitation.id == expired["id"]).values(expires_at=past))
        tokens += [revoked["token"], for_another["token"], expired["token"]]
        answers = [await register(auth, invitation=token) for token in tokens]
        assert {error(answer) for answer in answers} == {(403, "invitation_refused")}
        assert len({answer.json()["detail"] for answer in answers}) == 1
        welcome = await register(auth, email="Eve@example.org", invitation=for_another["token"])
        assert welcome.status_code == 201


async def test_an_invitation_ends_with_the_power_of_its_maker(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth(registration="invite") as auth:
        owner = await log_in(auth)
        where = (await owner("GET", "/me")).json()["organization"]["id"]
        ana = await make_user(sessions, role="admin", organization_id=where)
        token = (await invite(await log_in(auth, "ana")))["token"]
        async with sessions.begin() as session:
            await session.execute(update(Membership).where(Membership.user_id == ana.id).values(role="viewer"))
        assert error(await register(auth, invitation=token)) == (403, "invitation_refused")


async def test_the_secret_of_an_invitation_is_shown_once(auth: httpx2.AsyncClient) -> None:
    admin = await log_in(auth)
    invitation = await invite(admin, email="eve@example.org")
    listed = await admin("GET", invitation["path"])
    assert listed.json()["data"][0]["email"] == "eve@example.org"
    assert invitation["token"] not in listed.text


async def test_a_taken_name_is_told_without_saying_which_and_asking_becomes_slow(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async with start_auth(registration="open") as auth:
        await register(auth, email="bob@example.org")
        name, email = await register(auth), await register(auth, "eve", email="bob@example.org")
        assert error(name) == error(email) == (409, "name_taken")
        assert name.json()["detail"] == email.json()["detail"]
        async with sessions.begin() as session:
            await session.execute(update(LoginThrottle).values(failures=ADDRESS.free + 5))
        assert (await register(auth)).status_code == 409
        assert error(await register(auth, "mia")) == (429, "login_throttled")


async def test_a_weak_password_does_not_register(start_auth: StartAuth) -> None:
    async with start_auth(registration="open") as auth:
        answer = await auth.post("/api/auth/register", json={"username": "bob", "password": "password2026!"})
        assert answer.status_code == 422
        assert answer.json()["code"] == "password_too_common"
