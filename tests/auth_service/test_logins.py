"""Guessing passwords becomes slow, for an account and for an address, whether the account exists or not."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine, event, func, select, update

from auth_service.audit.models import AuditEvent
from auth_service.logins.models import LoginThrottle
from auth_service.logins.service import ACCOUNT, ADDRESS, network
from auth_service.users import passwords
from shared.database import Sessions
from tests.auth_service.calling import audited, log_in, until_somebody_waits
from tests.auth_service.conftest import ADMIN_PASSWORD, StartAuth
from tests.auth_service.factories import make_user

TOKEN = "/api/auth/token"


async def guess(
    auth: httpx2.AsyncClient, username: str = "admin", password: str = "wrong", address: str | None = None
) -> httpx2.Response:
    headers = {} if address is None else {"x-forwarded-for": address}
    return await auth.post(TOKEN, json={"username": username, "password": password}, headers=headers)


async def age(sessions: Sessions, **change: Any) -> None:
    """As if time had passed."""
    async with sessions.begin() as session:
        await session.execute(update(LoginThrottle).values(**change))


async def waits_over(sessions: Sessions) -> None:
    await age(sessions, blocked_until=func.now())


@pytest.mark.parametrize("username", ["admin", "nobody"])
async def test_guesses_wait_longer_and_longer_whether_the_account_exists(
    auth: httpx2.AsyncClient, sessions: Sessions, username: str
) -> None:
    assert [(await guess(auth, username)).status_code for _ in range(5)] == [401] * 5
    waits = []
    for _ in range(5):
        assert (await guess(auth, username)).status_code == 401
        refused = await guess(auth, username)
        assert refused.status_code == 429
        waits.append(int(refused.headers["retry-after"]))
        await waits_over(sessions)
    assert waits == [1, 2, 4, 8, 16]


async def test_a_refusal_is_the_same_for_everybody_and_has_oauth2s_members(auth: httpx2.AsyncClient) -> None:
    refused = []
    for username in ("admin", "nobody"):
        for _ in range(6):
            await guess(auth, username)
        refused.append((await guess(auth, username)).json() | {"request_id": ""})
    assert refused[0] == refused[1]
    assert refused[0]["code"] == "login_throttled"
    assert refused[0]["error"] == "temporarily_unavailable"


async def test_while_it_waits_not_even_the_right_password_is_looked_at(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    """Or the answer would tell that it is right."""
    for _ in range(6):
        await guess(auth)
    await age(sessions, blocked_until=func.now() + timedelta(minutes=1))
    assert (await guess(auth, password=ADMIN_PASSWORD)).status_code == 429
    await waits_over(sessions)
    assert (await guess(auth, password=ADMIN_PASSWORD)).status_code == 200


async def test_no_wait_is_longer_than_a_quarter_of_an_hour(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    await guess(auth)
    for _ in range(3):
        await age(sessions, failures=ACCOUNT.most, blocked_until=func.now())
        assert (await guess(auth)).status_code == 401
    assert int((await guess(auth)).headers["retry-after"]) <= 900
    async with sessions() as session:
        assert await session.scalar(select(LoginThrottle.failures)) == ACCOUNT.most


async def test_failures_are_forgotten_with_time(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    for _ in range(6):
        await guess(auth)
    await age(sessions, failed_at=func.now() - timedelta(minutes=31), blocked_until=func.now())
    assert [(await guess(auth)).status_code for _ in range(3)] == [401, 401, 429]


async def test_a_success_forgets_the_accounts_failures(auth: httpx2.AsyncClient) -> None:
    for _ in range(2):
        assert [(await guess(auth)).status_code for _ in range(5)] == [401] * 5
        assert (await guess(auth, password=ADMIN_PASSWORD)).status_code == 200


async def test_fifty_guesses_at_once_at_two_replicas_are_as_few_as_one_after_another(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async with start_auth() as one, start_auth() as two:
        for _ in range(5):
            await guess(one)
        await age(sessions, failures=ACCOUNT.free + 9)  # the next failure waits for minutes: no second one passes
        answers = await asyncio.gather(*(guess((one, two)[n % 2], password=f"guess {n}") for n in range(50)))
    assert sorted(answer.status_code for answer in answers) == [401] + [429] * 49


async def test_people_who_log_in_often_at_once_do_not_wait_for_themselves(start_auth: StartAuth) -> None:
    async with start_auth() as one, start_auth() as two:
        answers = await asyncio.gather(*(guess((one, two)[n % 2], password=ADMIN_PASSWORD) for n in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20


async def test_one_address_cannot_try_a_password_on_every_account(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    await guess(auth, "first", address="192.0.2.7")
    await age(sessions, failures=ADDRESS.free + 5)
    assert (await guess(auth, "second", address="192.0.2.7")).status_code == 401
    assert (await guess(auth, "third", address="192.0.2.7")).status_code == 429
    assert (await guess(auth, "third", address="192.0.2.8")).status_code == 401


async def test_who_has_to_wait_for_one_adds_to_no_other(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    """Or an address that is blocked could block accounts without a look at their passwords."""
    await guess(auth, "first", address="192.0.2.7")
    await age(sessions, blocked_until=func.now() + timedelta(minutes=1))
    assert (await guess(auth, "first", address="192.0.2.8")).status_code == 429
    assert (await guess(auth, "second", address="192.0.2.7")).status_code == 429
    async with sessions() as session:
        assert (await session.scalars(select(LoginThrottle.failures))).all() == [1, 1]


async def test_who_is_blocked_at_that_very_moment_adds_to_no_other_either(
    auth: httpx2.AsyncClient, sessions: Sessions
) -> None:
    await guess(auth, "first", address="192.0.2.7")
    async with sessions.begin() as session:
        await session.execute(update(LoginThrottle).values(blocked_until=func.now() + timedelta(minutes=1)))
        guessing = asyncio.create_task(guess(auth, "first", address="192.0.2.8"))
        await until_somebody_waits(sessions)
    assert (await guessing).status_code == 429
    async with sessions() as session:
        assert sorted((await session.scalars(select(LoginThrottle.failures))).all()) == [0, 1, 1]


async def test_a_login_takes_three_statements(start_auth: StartAuth, sessions: Sessions) -> None:
    """Logins come in floods, and each round trip is time of the event loop's that others wait for."""
    statements: list[str] = []

    def note(connection: Any, _: Any, statement: str, *__: Any) -> None:
        statements.append(f"{connection.get_execution_options().get('isolation_level')}: {statement}")

    await make_user(sessions)
    async with start_auth() as auth:
        event.listen(Engine, "before_cursor_execute", note)
        try:
            await log_in(auth, "ana")
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    own = [each for each in statements if "auth.login_throttles" in each or "auth.users" in each]
    assert [each.partition(":")[0] for each in own] == ["AUTOCOMMIT"] * 3


async def test_a_success_takes_only_itself_back_from_the_address(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    """Or whoever has an account could guess at others' between logins of their own."""
    for _ in range(3):
        await guess(auth, "first", address="192.0.2.7")
    await guess(auth, password=ADMIN_PASSWORD, address="192.0.2.7")
    async with sessions() as session:
        assert sorted((await session.scalars(select(LoginThrottle.failures))).all()) == [3, 3]


def test_an_ipv6_address_is_its_network() -> None:
    assert network("2001:db8:1:2:3::1") == network("2001:db8:1:2:ffff::9")
    assert network("2001:db8:1:2::1") != network("2001:db8:1:3::1")
    assert network("::ffff:192.0.2.7") == "192.0.2.7"
    assert network("unix") == "unix"


async def test_names_are_not_kept(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    typed = "my-secret-typed-as-name"
    await guess(auth, typed, address="192.0.2.7")
    async with sessions() as session:
        keys = (await session.scalars(select(LoginThrottle.key))).all()
        events = (await session.scalars(select(AuditEvent))).all()
    assert all(len(key) == 32 for key in keys)
    assert typed not in str([vars(event) for event in events])


async def test_old_failures_are_thrown_away(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    for name in ("first", "second"):
        await guess(auth, name, address="192.0.2.7")
    await age(sessions, failed_at=func.now() - timedelta(hours=25))
    await guess(auth, "third", address="192.0.2.8")
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(LoginThrottle)) == 2


async def test_logins_are_audited(auth: httpx2.AsyncClient, sessions: Sessions) -> None:
    ana = await make_user(sessions)
    await guess(auth, "ana", address="192.0.2.7")
    await log_in(auth, "ana")
    assert [each for each in await audited(sessions) if each.startswith("login.")] == [
        "login.failure!",
        "login.success",
    ]
    async with sessions() as session:
        failure = (await session.scalars(select(AuditEvent).where(AuditEvent.action == "login.failure"))).one()
    assert (failure.target, failure.organization_id, failure.address) == (ana.id, ana.organization_id, "192.0.2.7")


async def test_more_logins_than_can_wait_are_told_to_come_again(
    start_auth: StartAuth, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody's failure is counted for it."""
    monkeypatch.setattr("auth_service.logins.service.MOST_AT_ONCE", 4)
    async with start_auth() as auth:
        answers = await asyncio.gather(*(guess(auth, f"user{n}") for n in range(12)))
        busy = [answer for answer in answers if answer.status_code == 503]
        assert len(busy) == 8
        assert {answer.headers["retry-after"] for answer in busy} == {"2"}
        assert {answer.json()["error"] for answer in busy} == {"temporarily_unavailable"}
        monkeypatch.setattr(passwords, "MOST_WAITING", -passwords.THREADS)
        assert (await guess(auth, "last")).status_code == 503
    async with sessions() as session:
        counted = (await session.scalars(select(LoginThrottle.failures))).all()
    assert sorted(counted) == [0, 1, 1, 1, 1, 4]  # the last one's was taken back; the others share an address
