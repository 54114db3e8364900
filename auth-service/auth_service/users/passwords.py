"""argon2id, in threads of its own, so that many logins at once wait for each other and for nobody else."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shared.errors import Unavailable

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
"""OWASP's first choice for argon2id: 19 MiB, two passes, one lane."""
THREADS = max(1, (os.cpu_count() or 1) - 1)
"""One core is left to the event loop and to PostgreSQL, which a login needs as well."""
MOST_WAITING = 64 * THREADS
"""Hashes that wait for a thread, about two seconds' worth; who comes then is told to come again."""

T = TypeVar("T")


class PasswordsBusy(Unavailable):
    """Too many passwords wait to be hashed; with the members that OAuth2's clients look for."""

    code, title = "logins_busy", "Too many logins at once"

    def __init__(self) -> None:
        detail = "Too many people log in at this moment. Try again soon."
        super().__init__(detail, retry_after=2, error="temporarily_unavailable", error_description=detail)


class Passwords:
    """Hashes and verifies, on all cores but one. Hold no database session while you wait for it."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="argon2")
        self._begun = 0
        self._nobodys = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """Raises PasswordsBusy."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Takes as long for a user who does not exist (None) as for a wrong password. Raises PasswordsBusy."""
        matches = await self._run(self._verify, password, password_hash or self._nobodys)
        return matches and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., T], *given: str) -> T:
        if self._begun >= THREADS + MOST_WAITING:
            raise PasswordsBusy
        self._begun += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        finally:
            self._begun -= 1

    def _verify(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
