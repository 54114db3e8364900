"""What a process knows of revocations: how it learns, what it forgets, and what an outage changes."""

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import CapturingLogger

import shared.auth.revocations as revocations_module
from shared.auth import Principal
from shared.auth.revocations import KEPT_FOR, PAGE, Revocation, RevocationFeed, Revocations, following


def principal(*, issued_at: float, session_id: str = "ses_1", user_id: str = "usr_1") -> Principal:
    now = int(issued_at)
    return Principal(
        user_id=user_id,
        organization_id="org_1",
        session_id=session_id,
        scopes=frozenset(),
        issued_at=now,
        expires_at=now + 900,
        token="",
    )


class Feed(RevocationFeed):
    """Tells what the test appends, unless it is `away`."""

    def __init__(self) -> None:
        self.rows: list[Revocation] = []
        self.away = False
        self.asked = 0

    def revoke(self, subject: str, *, at: float | None = None) -> None:
        self.rows.append(Revocation(len(self.rows) + 1, subject, time.time() if at is None else at))

    async def revocations(self, *, after: int, limit: int) -> Sequence[Revocation]:
        self.asked += 1
        if self.away:
            raise ConnectionError("away")
        return [row for row in self.rows if row.sequence > after][:limit]


@pytest.fixture(autouse=True)
def _fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pace is not what these tests are about; tests/auth_service/revocations measures it over sockets."""
    monkeypatch.setattr(revocations_module, "POLL_EVERY", 0.01)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 # what is waited for sets no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("subject", ["ses_1", "usr_1", "usr_1/org_1"])
async def test_a_token_ends_with_its_session_its_user_or_its_membership(subject: str) -> None:
    feed = Feed()
    async with following(feed) as revocations:
        caller = principal(issued_at=time.time())
        assert not revocations.is_revoked(caller)
        feed.revoke(subject)
        await eventually(lambda: revocations.is_revoked(caller))


@pytest.mark.parametrize("subject", ["ses_2", "usr_2", "usr_1/org_2", "usr_1/", "ses_", "org_1"])
async def test_nobody_elses_token_ends(subject: str) -> None:
    feed = Feed()
    feed.revoke(subject)
    async with following(feed) as revocations:
        assert len(revocations) == 1
        assert not revocations.is_revoked(principal(issued_at=time.time() - 1))


def test_what_was_issued_in_the_second_of_a_revocation_ends_and_what_comes_after_it_lives() -> None:
    revocations = Revocations()
    revocations.learn([Revocation(1, "usr_1", 1000.7)])
    assert revocations.is_revoked(principal(issued_at=999))
    assert revocations.is_revoked(principal(issued_at=1000))
    assert not revocations.is_revoked(principal(issued_at=1001))


def test_an_older_revocation_of_the_same_subject_does_not_replace_a_newer_one() -> None:
    revocations = Revocations()
    revocations.learn([Revocation(1, "usr_1", 1000), Revocation(2, "usr_1", 900)])
    assert revocations.is_revoked(principal(issued_at=950))


async def test_a_process_that_starts_knows_all_pages_before_it_serves() -> None:
    feed = Feed()
    for number in range(2 * PAGE + 1):
        feed.revoke(f"ses_{number}")
    async with following(feed) as revocations:
        assert len(revocations) == 2 * PAGE + 1
        assert feed.asked == 3


def test_what_is_of_no_use_any_more_is_forgotten() -> None:
    revocations = Revocations()
    now = time.time()
    revocations.learn([Revocation(1, "ses_old", now - KEPT_FOR - 2), Revocation(2, "ses_new", now)])
    revocations.heard()
    assert len(revocations) == 1
    assert revocations.is_revoked(principal(issued_at=now, session_id="ses_new"))


async def test_an_outage_changes_nothing_that_is_known_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(revocations_module, "log", log)
    monkeypatch.setattr(revocations_module, "STALE_AFTER", 0.1)
    feed = Feed()
    caller, other = [principal(issued_at=time.time(), session_id=session_id) for session_id in ("ses_1", "ses_2")]
    feed.revoke("ses_1")
    async with following(feed) as revocations:
        assert revocations.problem is None
        feed.away = True
        await eventually(lambda: revocations.problem is not None)
        asked = feed.asked
        await eventually(lambda: feed.asked > asked + 5)
        assert revocations.is_revoked(caller)
        assert [call.args[0] for call in log.calls] == ["no news of revocations"]
        feed.revoke("ses_2")
        feed.away = False
        await eventually(lambda: revocations.is_revoked(other))
        assert revocations.problem is None
    assert [call.args[0] for call in log.calls] == ["no news of revocations", "news of revocations again"]


async def test_an_auth_service_that_starts_with_us_is_asked_often_and_its_silence_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(revocations_module, "log", log)
    monkeypatch.setattr(revocations_module, "POLL_EVERY", 3600.0)
    monkeypatch.setattr(revocations_module, "ASK_FIRST_EVERY", 0.01)
    feed = Feed()
    feed.away = True
    caller = principal(issued_at=time.time())
    async with following(feed) as revocations:
        await eventually(lambda: feed.asked > 3)
        feed.revoke("ses_1")
        feed.away = False
        await eventually(lambda: revocations.is_revoked(caller))
    assert log.calls == []


async def test_an_auth_service_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(revocations_module, "log", log)
    monkeypatch.setattr(revocations_module, "ASK_FIRST_EVERY", 0.01)
    monkeypatch.setattr(revocations_module, "STARTED_WITHIN", 0.05)
    feed = Feed()
    feed.away = True
    async with following(feed):
        await eventually(lambda: len(log.calls) == 1)
    assert [call.args[0] for call in log.calls] == ["no news of revocations"]


async def test_a_database_that_was_restored_and_counts_from_an_earlier_number_is_heard() -> None:
    feed = Feed()
    for _ in range(5):
        feed.revoke("ses_2")
    caller = principal(issued_at=time.time())
    async with following(feed) as revocations:
        feed.rows.clear()
        feed.revoke("ses_1")
        await eventually(lambda: revocations.is_revoked(caller))


async def test_a_feed_that_hangs_is_given_up_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations_module, "POLL_TIMEOUT", 0.05)

    class Hanging(Feed):
        async def revocations(self, *, after: int, limit: int) -> Sequence[Revocation]:
            if self.away:
                await asyncio.Event().wait()
            return await super().revocations(after=after, limit=limit)

    feed = Hanging()
    feed.away = True
    async with following(feed) as revocations:
        feed.revoke("ses_1")
        feed.away = False
        await eventually(lambda: len(revocations) == 1)
