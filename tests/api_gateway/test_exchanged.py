"""What the gateway remembers of exchanged credentials, minute by minute."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from api_gateway import exchanged as module
from api_gateway.exchanged import AT_ONCE, FRESH_FOR, REFUSED_FOR, ExchangedTokens
from shared.auth.exchange import API_KEY, FOREIGN_TOKEN
from shared.clients.auth import AuthClient
from shared.errors import Unauthorized, Unavailable, install_error_handlers
from shared.upstreams import InProcessUpstream
from tests.tokens import SECRET, SubjectTokenRefused


class Auth:
    """Exchanges as a test says, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.good = True
        self.is_down = False
        self.expires_in = 900
        self.go = asyncio.Event()
        self.go.set()
        self.arrived = asyncio.Event()
        self.arrivals: asyncio.Queue[None] = asyncio.Queue()
        self.inside = self.most_at_once = 0
        app = FastAPI()
        app.post("/internal/auth/token")(self._exchange)
        install_error_handlers(app)
        self.upstream = InProcessUpstream("auth", app=app)

    async def _exchange(self) -> dict[str, object]:
        self.asked += 1
        answer = self.asked
        self.arrived.set()
        self.arrivals.put_nowait(None)
        self.inside += 1
        self.most_at_once = max(self.most_at_once, self.inside)
        await self.go.wait()
        self.inside -= 1
        if self.is_down:
            raise Unavailable
        if not self.good:
            raise SubjectTokenRefused
        return {"access_token": f"token {answer}", "expires_in": self.expires_in, "scope": ""}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def auth() -> AsyncIterator[Auth]:
    made = Auth()
    async with made.upstream.running():
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(auth: Auth, clock: Clock) -> ExchangedTokens:
    return ExchangedTokens(AuthClient(auth.upstream, secret=SECRET, service="gateway"), clock=clock)


async def ask(tokens: ExchangedTokens, key: str = "a key") -> str:
    try:
        return await tokens.token_for(key, kind=API_KEY)
    except (Unauthorized, Unavailable) as error:
        return str(error.status)


async def test_a_token_is_kept_a_minute_and_a_revoked_key_no_longer(
    auth: Auth, clock: Clock, tokens: ExchangedTokens
) -> None:
    assert await ask(tokens) == "token 1"
    auth.good = False
    clock.now += FRESH_FOR - 1
    assert await ask(tokens) == "token 1"
    clock.now += 1
    assert await ask(tokens) == "401"


async def test_a_token_is_never_kept_beyond_its_end(auth: Auth, clock: Clock, tokens: ExchangedTokens) -> None:
    auth.expires_in = 10
    assert await ask(tokens) == "token 1"
    clock.now += 9
    assert await ask(tokens) == "token 1"
    clock.now += 1
    assert await ask(tokens) == "token 2"


async def test_a_refusal_is_kept_for_seconds_only(auth: Auth, clock: Clock, tokens: ExchangedTokens) -> None:
    auth.good = False
    assert [await ask(tokens) for _ in range(3)] == ["401"] * 3
    assert auth.asked == 1
    auth.good = True
    clock.now += REFUSED_FOR
    assert await ask(tokens) == "token 2"


async def test_while_auth_is_away_what_is_known_goes_on_and_nothing_is_remembered_against_anybody(
    auth: Auth, clock: Clock, tokens: ExchangedTokens
) -> None:
    assert await ask(tokens, "known") == "token 1"
    auth.is_down = True
    assert await ask(tokens, "known") == "token 1"
    assert await ask(tokens, "new") == "503"
    clock.now += FRESH_FOR
    assert await ask(tokens, "known") == "503"
    auth.is_down = False
    assert (await ask(tokens, "new")).startswith("token")


async def test_one_that_leaves_does_not_take_the_answer_from_the_others(auth: Auth, tokens: ExchangedTokens) -> None:
    auth.go.clear()
    first = asyncio.create_task(ask(tokens))
    await auth.arrived.wait()
    others = [asyncio.create_task(ask(tokens)) for _ in range(5)]
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    auth.go.set()
    assert await asyncio.gather(*others) == ["token 1"] * 5
    assert auth.asked == 1


async def test_a_flood_of_unknown_keys_does_not_drive_out_the_known(
    auth: Auth, tokens: ExchangedTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    monkeypatch.setattr(module, "REMEMBERED_REFUSALS", 3)
    assert await ask(tokens, "known") == "token 1"
    auth.good = False
    for number in range(10):
        assert await ask(tokens, f"invented {number}") == "401"
    assert await ask(tokens, "known") == "token 1"
    auth.good = True
    for number in range(3):
        await ask(tokens, f"other {number}")
    asked = auth.asked
    await ask(tokens, "known")
    assert auth.asked == asked + 1


async def test_a_flood_of_invented_keys_asks_for_a_few_at_a_time(
    tokens: ExchangedTokens, auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred at once took all connections to the database, and nobody else was answered for five seconds."""
    monkeypatch.setattr(module, "MOST_WAITING", 50)
    auth.good = False
    auth.go.clear()
    flood = [asyncio.create_task(ask(tokens, f"invented {number}")) for number in range(60)]
    async with asyncio.timeout(5):
        assert [await each for each in flood[50:]] == ["503"] * 10
    other = asyncio.create_task(tokens.token_for("a token", kind=FOREIGN_TOKEN))
    for _ in range(AT_ONCE + 1):  # the other one does not wait for them
        await auth.arrivals.get()
    auth.go.set()
    assert [await each for each in flood[:50]] == ["401"] * 50
    with pytest.raises(Unauthorized):
        await other
    assert auth.most_at_once == AT_ONCE + 1
    auth.good = True
    assert (await ask(tokens, "a real one")).startswith("token")
