"""A verified token is remembered for a minute, never longer than it lasts, and never against a revocation."""

import time

import pytest
from jwt import PyJWK

import shared.auth.tokens as tokens_module
from shared.auth import KeySource, TokenVerifier
from shared.auth.revocations import Revocation, Revocations
from shared.errors import Unauthorized
from tests.tokens import ISSUER, PUBLIC_JWK, make_token


class CountedKeys(KeySource):
    """The tests' key, until it is taken out; counts how often it was needed."""

    def __init__(self) -> None:
        self.asked = 0
        self.gone = False

    async def find(self, kid: str) -> PyJWK | None:
        self.asked += 1
        return None if self.gone else PyJWK(PUBLIC_JWK)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys() -> CountedKeys:
    return CountedKeys()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def revocations() -> Revocations:
    return Revocations()


@pytest.fixture
def verifier(keys: CountedKeys, clock: Clock, revocations: Revocations) -> TokenVerifier:
    return TokenVerifier(keys, issuer=ISSUER, revocations=revocations, clock=clock)


async def test_a_token_is_verified_once_a_minute(verifier: TokenVerifier, keys: CountedKeys, clock: Clock) -> None:
    token = make_token()
    first = await verifier.verify(token)
    clock.now += 59
    assert await verifier.verify(token) is first
    assert keys.asked == 1
    clock.now += 2
    assert await verifier.verify(token) == first
    assert keys.asked == 2


async def test_a_key_that_was_taken_out_ends_its_tokens_within_a_minute(
    verifier: TokenVerifier, keys: CountedKeys, clock: Clock
) -> None:
    token = make_token()
    await verifier.verify(token)
    keys.gone = True
    await verifier.verify(token)
    clock.now += 60
    with pytest.raises(Unauthorized, match="unknown key"):
        await verifier.verify(token)


async def test_a_token_is_not_remembered_beyond_its_end(
    verifier: TokenVerifier, keys: CountedKeys, clock: Clock
) -> None:
    token = make_token(exp=int(time.time()) + 10)
    await verifier.verify(token)
    clock.now += 10
    await verifier.verify(token)
    assert keys.asked == 2


async def test_within_the_leeway_after_its_end_a_token_is_verified_each_time(
    verifier: TokenVerifier, keys: CountedKeys
) -> None:
    token = make_token(exp=int(time.time()) - 2)
    await verifier.verify(token)
    await verifier.verify(token)
    assert keys.asked == 2


async def test_a_revocation_ends_a_remembered_token_at_once(verifier: TokenVerifier, revocations: Revocations) -> None:
    token = make_token(sid="ses_1")
    other = make_token(sid="ses_2")
    await verifier.verify(token)
    await verifier.verify(other)
    revocations.learn([Revocation(1, "ses_1", time.time())])
    with pytest.raises(Unauthorized, match="revoked"):
        await verifier.verify(token)
    await verifier.verify(other)


async def test_a_revoked_token_that_was_never_seen_is_refused(
    verifier: TokenVerifier, revocations: Revocations
) -> None:
    revocations.learn([Revocation(1, "usr_test", time.time())])
    with pytest.raises(Unauthorized, match="revoked"):
        await verifier.verify(make_token())


async def test_a_token_that_differs_in_one_character_is_another_token(verifier: TokenVerifier) -> None:
    token = make_token()
    await verifier.verify(token)
    header, claims, signature = token.split(".")
    changed = "A" if signature[0] != "A" else "B"
    for forged in (
        f"{header}.{claims}.{changed}{signature[1:]}",
        f"{header}.{claims}.",
        f"{header}.{claims}",
        token * 2,
    ):
        with pytest.raises(Unauthorized):
            await verifier.verify(forged)


async def test_a_refusal_is_not_remembered(verifier: TokenVerifier, keys: CountedKeys) -> None:
    token = make_token()
    keys.gone = True
    with pytest.raises(Unauthorized):
        await verifier.verify(token)
    keys.gone = False
    await verifier.verify(token)


async def test_memory_is_bounded_and_those_seen_last_stay(
    verifier: TokenVerifier, keys: CountedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "REMEMBERED_TOKENS", 3)
    used, *others = [make_token() for _ in range(5)]
    await verifier.verify(used)
    for other in others:
        await verifier.verify(other)
        await verifier.verify(used)
    assert keys.asked == 5
    await verifier.verify(others[0])  # the one that was seen first has left
    assert keys.asked == 6


@pytest.mark.parametrize("token", ["\ud800", "\0", "é.é.é", "." * 100, "a" * 8193, "a" * 1_000_000])
async def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    with pytest.raises(Unauthorized):
        await verifier.verify(token)
