"""Slows down whoever guesses passwords, whether the account exists or not."""

import asyncio
import hmac
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import Origin, record
from auth_service.logins import repository
from auth_service.logins.errors import LoginThrottled
from auth_service.logins.repository import Slowdown
from auth_service.users.models import User
from auth_service.users.names import normalized
from auth_service.users.passwords import MOST_WAITING, THREADS, PasswordsBusy
from shared.database import Sessions
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

    def __init__(self, sessions: Sessions, slowdowns: Mapping[bytes, Slowdown], *, origin: Origin, noun: str) -> None:
        self._sessions = sessions
        self._slowdowns = slowdowns
        self._origin = origin
        self._noun = noun

    async def begin(self) -> None:
        """Counts it, committed before the password is looked at. Raises LoginThrottled."""
        async with self._sessions() as session:
            if await repository.count_failure(session, self._slowdowns):
                await session.commit()
                return
            await session.rollback()
            wait = await repository.read_wait(session, list(self._slowdowns))
        raise LoginThrottled(retry_after=wait)

    async def fail(self, user: User | None) -> None:
        """Kept whatever becomes of the request. The name that was typed is not: people type passwords there."""
        async with self._sessions.begin() as session:
            await repository.delete_old_failures(session, at_most=CLEANED)
            record(
                session,
                f"{self._noun}.failure",
                origin=self._origin,
                organization_id=user.organization_id if user else None,
                target=user.id if user else None,
                result="failure",
            )

    async def succeed(self, session: AsyncSession, user: User, *, organization_id: str) -> None:
        """Forgets what failed for the account, and this one for the address; in force when the transaction commits.

        Do it last in the transaction: others wait for these rows.
        """
        record(session, f"{self._noun}.success", origin=self._origin, actor=user.id, organization_id=organization_id)
        for key, slowdown in self._in_order():
            if slowdown is ACCOUNT:
                await repository.forget_failures(session, key)
            else:
                await repository.take_back_failure(session, key)

    async def take_back(self) -> None:
        """It was none: nobody looked at a password, or there was nothing to guess."""
        async with self._sessions.begin() as session:
            for key, _ in self._in_order():
                await repository.take_back_failure(session, key)

    def _in_order(self) -> list[tuple[bytes, Slowdown]]:
        """The one in which everybody locks rows."""
        return sorted(self._slowdowns.items(), key=lambda item: item[0])


class Logins:
    """Keys are hashed with a key of our own: a table of names, and of what people mistyped, would tell too much."""

    def __init__(self, sessions: Sessions, *, secret: str) -> None:
        self._sessions = sessions
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
        slowdowns = self._keys_of(username, address=origin.address)
        attempt = Attempt(self._sessions, slowdowns, origin=origin, noun=noun)
        turns = self._turns.setdefault(next(iter(slowdowns), b""), asyncio.Semaphore(AT_ONCE))
        self._attempts += 1
        try:
            async with turns:
                async with self._connections:
                    await attempt.begin()
                try:
                    yield attempt
                except PasswordsBusy:
                    await attempt.take_back()
                    raise
        finally:
            self._attempts -= 1

    def _keys_of(self, username: str | None, *, address: str | None) -> Mapping[bytes, Slowdown]:
        keys = {}
        if username is not None:
            keys[self._hashed("account", normalized(username))] = ACCOUNT
        if address is not None:
            keys[self._hashed("address", network(address))] = ADDRESS
        return keys

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
