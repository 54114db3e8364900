"""A new signing key is published before it signs, and the old one verifies until its last token has expired."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx2
import jwt
import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service import keeping
from auth_service.audit.models import AuditEvent
from auth_service.keys import repository, routes, service
from auth_service.keys.models import SigningKey
from auth_service.keys.sealing import Seal
from auth_service.keys.service import KeyRing, SecretKeyChanged, rotate
from auth_service.tokens import issuer
from shared.clients.auth import FRESH_FOR
from shared.database import Sessions
from tests.auth_service.conftest import StartAuth
from tests.auth_service.logins import Json, bearing, log_in
from tests.tokens import SECRET

JWKS = "/.well-known/jwks.json"


class Looks:
    """Counts how often replicas have looked for new keys, so that a test can tell that nothing came of it."""

    def __init__(self) -> None:
        self.count = 0

    async def again(self) -> None:
        """Until two replicas have looked twice, or one of them four times."""
        enough = self.count + 4

        async def looked() -> bool:
            return self.count >= enough

        await eventually(looked)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Replicas that look for new keys all the time, so that the tests need not wait for half a minute."""
    looks = Looks()
    load = KeyRing.load

    async def counted(ring: KeyRing) -> None:
        try:
            await load(ring)
        finally:
            looks.count += 1

    monkeypatch.setattr(KeyRing, "load", counted)
    monkeypatch.setattr(service, "RELOAD_EVERY", 0.02)
    return looks


async def rotated(sessions: Sessions, *, at_once: bool = False, secret: str = SECRET) -> str:
    async with sessions.begin() as session:
        return (await rotate(session, Seal(secret), at_once=at_once)).kid


async def let_pass(sessions: Sessions, minutes: float) -> None:
    gone = timedelta(minutes=minutes)
    columns = (SigningKey.created_at, SigningKey.signs_from, SigningKey.retires_at)
    async with sessions.begin() as session:
        await session.execute(update(SigningKey).values({column: column - gone for column in columns}))


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110 # neither the database nor a replica sets an event
            await asyncio.sleep(0.02)


async def published(auth: httpx2.AsyncClient) -> list[str]:
    return [key["kid"] for key in (await auth.get(JWKS)).json()["keys"]]


async def publish(*replicas: httpx2.AsyncClient, kids: list[str]) -> None:
    """Until all of them publish exactly these keys, newest first."""
    for auth in replicas:

        async def shown(auth: httpx2.AsyncClient = auth) -> bool:
            return await published(auth) == kids

        await eventually(shown)


def kid_of(tokens: Json) -> str:
    return str(jwt.get_unverified_header(tokens["access_token"])["kid"])


async def status(auth: httpx2.AsyncClient, tokens: Json) -> int:
    return (await auth.get("/api/auth/me", headers=bearing(tokens))).status_code


async def test_a_rotation_is_published_then_signs_then_retires_the_old_key(
    start_auth: StartAuth, sessions: Sessions, looks: Looks
) -> None:
    async with start_auth() as one, start_auth() as two:
        (old,) = await published(one)
        before, unseen = await log_in(one), await log_in(one)  # who has verified a token remembers it for a minute
        new = await rotated(sessions)
        await publish(one, two, kids=[new, old])
        assert {kid_of(await log_in(auth)) for auth in (one, two)} == {old}

        await let_pass(sessions, minutes=9.9)
        await looks.again()
        assert {kid_of(await log_in(auth)) for auth in (one, two)} == {old}

        await let_pass(sessions, minutes=0.2)
        for auth in (one, two):

            async def signs_anew(auth: httpx2.AsyncClient = auth) -> bool:
                return kid_of(await log_in(auth)) == new

            await eventually(signs_anew)
        after = await log_in(one)
        assert [await status(two, tokens) for tokens in (before, after)] == [200, 200]

        await let_pass(sessions, minutes=19)
        await looks.again()
        assert [await status(auth, before) for auth in (one, two)] == [200, 200]

        await let_pass(sessions, minutes=1.2)
        await publish(one, two, kids=[new])
        assert [await status(auth, unseen) for auth in (one, two)] == [401, 401]
        assert [await status(auth, after) for auth in (one, two)] == [200, 200]


@pytest.mark.usefixtures("looks")
async def test_a_rotation_at_once_signs_everywhere_and_logs_nobody_out(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async with start_auth() as one, start_auth() as two:
        before = await log_in(one)
        new = await rotated(sessions, at_once=True)
        await publish(one, two, kids=[new, kid_of(before)])
        after = [await log_in(auth) for auth in (one, two)]
        assert {kid_of(tokens) for tokens in after} == {new}
        assert [await status(two, tokens) for tokens in (before, *after)] == [200, 200, 200]


async def test_a_token_of_a_key_that_a_replica_has_not_seen_yet_is_good_there(
    start_auth: StartAuth, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_AGAIN_AFTER", 0.0)
    async with start_auth() as one:
        await log_in(one)
        new = await rotated(sessions, at_once=True)
        async with start_auth() as two:
            tokens = await log_in(two)
            assert kid_of(tokens) == new
            assert await status(one, tokens) == 200


async def test_a_rotation_at_once_overtakes_one_that_waits(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth() as auth:
        (first,) = await published(auth)
    waiting = await rotated(sessions)
    urgent = await rotated(sessions, at_once=True)
    await let_pass(sessions, minutes=15)
    async with start_auth() as auth:
        assert kid_of(await log_in(auth)) == urgent
        assert await published(auth) == [urgent, waiting, first]
    await let_pass(sessions, minutes=6)
    async with start_auth() as auth:
        assert await published(auth) == [urgent]


async def test_rotations_at_once_leave_one_key_that_does_not_retire(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth():
        pass
    kids = set(await asyncio.gather(*(rotated(sessions, at_once=True) for _ in range(5))))
    async with sessions() as session:
        lasting = (await session.scalars(select(SigningKey.kid).where(SigningKey.retires_at.is_(None)))).all()
    async with start_auth() as auth:
        assert [kid_of(await log_in(auth))] == lasting
        assert set(lasting) < kids


async def test_a_rotation_under_another_secret_is_refused_and_changes_nothing(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async with start_auth():
        pass
    with pytest.raises(SecretKeyChanged):
        await rotated(sessions, secret="another-secret-of-the-tests-0123456789")
    async with sessions() as session:
        (key,) = (await session.scalars(select(SigningKey))).all()
    assert key.retires_at is None


async def test_a_rotation_is_audited(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth():
        pass
    kid = await rotated(sessions)
    async with sessions() as session:
        (event,) = (await session.scalars(select(AuditEvent))).all()
    assert (event.action, event.actor, event.target) == ("signing_key.rotate", "operator", kid)


async def test_keys_stay_in_use_while_the_database_cannot_tell_them(
    start_auth: StartAuth, sessions: Sessions, looks: Looks
) -> None:
    async with start_auth() as auth:
        tokens = await log_in(auth)
        async with sessions.begin() as session:
            await session.execute(text("ALTER TABLE auth.signing_keys RENAME TO away"))
        await looks.again()
        assert await status(auth, tokens) == 200
        assert kid_of(await log_in(auth)) == kid_of(tokens)
        async with sessions.begin() as session:
            await session.execute(text("ALTER TABLE auth.away RENAME TO signing_keys"))
        new = await rotated(sessions, at_once=True)
        await publish(auth, kids=[new, kid_of(tokens)])


@pytest.mark.usefixtures("looks")
async def test_a_deleted_key_is_refused_and_without_any_nobody_logs_in(
    start_auth: StartAuth, sessions: Sessions
) -> None:
    async with start_auth() as auth:
        tokens = await log_in(auth)
        async with sessions.begin() as session:
            await session.execute(delete(SigningKey))
        await publish(auth, kids=[])
        assert await status(auth, tokens) == 401
        body = {"username": "admin", "password": "a long enough password"}
        assert (await auth.post("/api/auth/token", json=body)).status_code == 503


@pytest.mark.usefixtures("looks")
async def test_a_retired_key_is_deleted_a_day_later(
    start_auth: StartAuth, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "CLEAN_EVERY", 0.02)

    async def kept() -> int:
        async with sessions() as session:
            return len((await session.scalars(select(SigningKey))).all())

    async def one_is_kept() -> bool:
        return await kept() == 1

    passes = Looks()
    clean = repository.delete_retired_signing_keys

    async def counted(session: AsyncSession, *, after: timedelta) -> None:
        await clean(session, after=after)
        passes.count += 1

    monkeypatch.setattr(keeping, "delete_retired_signing_keys", counted)
    async with start_auth():
        await rotated(sessions, at_once=True)
        await let_pass(sessions, minutes=23 * 60)
        await passes.again()
        assert await kept() == 2
        await let_pass(sessions, minutes=2 * 60)
        await eventually(one_is_kept)


def test_the_times_of_a_rotation_fit_each_other() -> None:
    longest_kept = max(FRESH_FOR, routes.FRESH_FOR) + service.RELOAD_EVERY
    assert service.PUBLISHED_BEFORE.total_seconds() > longest_kept
    assert service.OVERLAP.total_seconds() > issuer.LIFE + 2 * service.RELOAD_EVERY


@pytest.mark.usefixtures("looks")
async def test_a_jwks_is_given_once_for_each_of_its_versions(start_auth: StartAuth, sessions: Sessions) -> None:
    async with start_auth() as auth:
        first = await auth.get(JWKS)
        tag = first.headers["etag"]
        assert first.headers["cache-control"] == "public, max-age=300"
        for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await auth.get(JWKS, headers={"if-none-match": named})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert again.headers["cache-control"] == "public, max-age=300"
        assert (await auth.get(JWKS, headers={"if-none-match": '"other"'})).status_code == 200
        (old,) = await published(auth)
        await publish(auth, kids=[await rotated(sessions), old])
        assert (await auth.get(JWKS, headers={"if-none-match": tag})).status_code == 200
