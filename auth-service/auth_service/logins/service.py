"""Slows down whoever guesses passwords, whether the account exists or not."""

import asyncio
import hmac
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from auth_service.audit.service import Origin, record
from auth_service.logins import repository
from auth_service.logins.errors import LoginThrottled
from auth_service.logins.repository import Slowdown, Throttled
from auth_service.users.names import normalized
from auth_service.users.passwords import MOST_WAITING, THREADS, PasswordsBusy
from shared.database import Sessions, autocommitting
from shared.derivation import LOGIN_THROTTLES, derived_key

ACCOUNT = Slowdown(free=5, longest=15 * 60, forgets_every=15 * 60)
ADDRESS = Slowdown(free=50, longest=15 * 60, forgets_every=60)
"""Many people may share an address."""
AT_ONCE = 2
"""Attempts on one account that a replica works on at a time: an attempt counts as a failure until it has succeeded, so
that guesses made at once are all counted, and people who log in often at once shall not wait for themselves."""
CONNECTIONS = 4
"""Of the database's, that beginning attempts use at a time: a flood of them leaves the others for other requests."""
MOST_AT_ONCE = THREADS + MOST_WAITING
CLEANED = 100


class Attempt:
    """One attempt to prove who one is; until it succeeds it has failed."""

    def __init__(self, sessions: Sessions, throttled: Throttled, *, origin: Origin, noun: str) -> None:
        self._sessions = sessions
        self.origin = origin
        self._noun = noun
        self.throttled = throttled

    async def begin(self, connection: AsyncConnection) -> None:
        """Counts it, committed before the password is looked at. Raises LoginThrottled."""
        if not await repository.count_failure(connection, self.throttled, account=ACCOUNT, address=ADDRESS):
            raise LoginThrottled(retry_after=await repository.read_wait(connection, self.throttled))

    async def fail(self, user_id: str | None = None, *, organization_id: str | None = None) -> None:
        """Kept whatever becomes of the request. The name that was typed is not: people type passwords there."""
        async with self._sessions.begin() as session:
            await repository.delete_old_failures(session, at_most=CLEANED)
            record(
                session,
                f"{self._noun}.failure",
                origin=self.origin,
                organization_id=organization_id,
                target=user_id,
                result="failure",
            )

    async def succeed(self, session: AsyncSession, user_id: str, *, organization_id: str) -> None:
        """Forgets what failed for the account, and this one for the address; in force when the transaction commits.

        Do it last in the transaction: others wait for these rows.
        """
        record(session, f"{self._noun}.success", origin=self.origin, actor=user_id, organization_id=organization_id)
        await repository.forget_failures(session, self.throttled)

    async def take_back(self) -> None:
        """It was none: nobody looked at a password, or there was nothing to guess."""
        async with self._sessions.begin() as session:
            await repository.take_back_failure(session, self.throttled)


class Logins:
    """Keys are hashed with a key of our own: a table of names, and of what people mistyped, would tell too much."""

    def __init__(self, sessions: Sessions, *, secret: str) -> None:
        self._sessions = sessions
        self._autocommitting = autocommitting(sessions)
        self._key = derived_key(secret, purpose=LOGIN_THROTTLES)
        self._turns: WeakValueDictionary[bytes, asyncio.Semaphore] = WeakValueDictionary()
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._attempts = 0

    @asynccontextmanager
    async def attempt(self, username: str | None, *, origin: Origin, noun: str = "login") -> AsyncIterator[Attempt]:
        """Inside, look at the password, then say `fail` or `succeed`. Raises LoginThrottled, PasswordsBusy.

        Without a username only the address is slowed down. `noun` is what the audit calls it.
        """
        if self._attempts >= MOST_AT_ONCE:
            raise PasswordsBusy
        throttled = self._throttled(username, address=origin.address)
        attempt = Attempt(self._sessions, throttled, origin=origin, noun=noun)
        turns = self._turns.setdefault(throttled.account or throttled.address or b"", asyncio.Semaphore(AT_ONCE))
        self._attempts += 1
        try:
            async with turns:
                async with self._connections, self._autocommitting.connect() as connection:
                    await attempt.begin(connection)
                try:
                    yield attempt
                except PasswordsBusy:
                    await attempt.take_back()
                    raise
        finally:
            self._attempts -= 1

    def _throttled(self, username: str | None, *, address: str | None) -> Throttled:
        return Throttled(
            account=None if username is None else self._hashed("account", normalized(username)),
            address=None if address is None else self._hashed("address", network(address)),
        )

    def _hashed(self, kind: str, name: str) -> bytes:
        return hmac.digest(self._key, f"{kind}:{name}".encode(errors="surrogatepass"), "sha256")


def network(address: str) -> str:
    """An IPv6 address is one of 2⁶⁴ that its owner has: what counts is the /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
