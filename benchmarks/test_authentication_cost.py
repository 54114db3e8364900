"""What it costs to know a caller: `.venv/bin/pytest benchmarks/test_authentication_cost.py`. Not gating."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import cycle
from typing import Any

from api_gateway.authentication import Authentication
from api_gateway.exchanged import ExchangedTokens
from benchmarks.identity import OneKey
from shared.auth import TokenVerifier
from shared.auth.api_keys import new_api_key
from shared.auth.revocations import Revocation, Revocations
from tests.tokens import ISSUER, StaticKeys, make_token

REVOKED = 1000
"""Revocations that are known meanwhile, none of which ends the token."""


def authentication() -> Authentication:
    revocations = Revocations()
    revocations.learn([Revocation(number, f"ses_{number}", time.time()) for number in range(REVOKED)])
    verifier = TokenVerifier(StaticKeys(), issuer=ISSUER, revocations=revocations)
    return Authentication(verifier, exchanged=ExchangedTokens(OneKey()), issuer=ISSUER)


def stepped(ask: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[], None]:
    """Runs what never waits, without an event loop's own cost."""

    def once() -> None:
        try:
            ask().send(None)
        except StopIteration:
            return
        raise AssertionError("it waits")

    return once


def test_a_token_that_is_remembered(benchmark: Any) -> None:
    known, shown = authentication(), [(b"authorization", f"Bearer {make_token()}".encode())]
    asyncio.run(known.principal_of(shown))
    benchmark(stepped(lambda: known.principal_of(shown)))


def test_an_api_key_that_is_remembered(benchmark: Any) -> None:
    known, shown = authentication(), [(b"authorization", f"Bearer {new_api_key()}".encode())]
    asyncio.run(known.principal_of(shown))
    benchmark(stepped(lambda: known.principal_of(shown)))


def test_a_token_at_first_sight(benchmark: Any) -> None:
    verifiers = cycle([TokenVerifier(StaticKeys(), issuer=ISSUER) for _ in range(20_000)])
    token = make_token()
    benchmark.pedantic(stepped(lambda: next(verifiers).verify(token)), rounds=2000)
