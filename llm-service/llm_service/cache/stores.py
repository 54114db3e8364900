"""Where answers are kept: in this process, or in a Redis that all replicas share."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import OrderedDict

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

MOST_ENTRIES = 10_000
MOST_BYTES = 64 * 1024 * 1024
"""Of a process; what was not asked for the longest goes first."""
REDIS_TIMEOUT = 0.25
"""Seconds, for one exchange; a cache that is slower than that helps nobody."""
REST = 5.0
"""Seconds for which a Redis that failed is left alone."""


class AnswerStore(ABC):
    """Neither method raises: an answer that cannot be kept or found is asked for anew."""

    @abstractmethod
    async def find(self, key: str) -> bytes | None: ...

    @abstractmethod
    async def keep(self, key: str, answer: bytes, *, ttl: int) -> None:
        """For `ttl` seconds at most."""

    async def close(self) -> None:  # noqa: B027 # memory has nothing to give back
        """Gives back connections."""


class MemoryStore(AnswerStore):
    """Bounded in entries and in bytes."""

    def __init__(self, *, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> None:
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self.size = 0
        """Bytes, keys included."""

    async def find(self, key: str) -> bytes | None:
        found = self._kept.get(key)
        if found is None:
            return None
        answer, until = found
        if until <= time.monotonic():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return answer

    async def keep(self, key: str, answer: bytes, *, ttl: int) -> None:
        self._forget(key)
        self._kept[key] = answer, time.monotonic() + ttl
        self.size += len(key) + len(answer)
        while self.size > self._most_bytes or len(self._kept) > self._most_entries:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self.size -= len(key) + len(found[0])


class RedisStore(AnswerStore):
    """Shared by all replicas; while it is away, nothing is found and nothing kept."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_connect_timeout=REDIS_TIMEOUT,
            socket_timeout=REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._rests_until = 0.0

    async def find(self, key: str) -> bytes | None:
        if self._rests_until > time.monotonic():
            return None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                found = await self._redis.get(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            return None
        return found if isinstance(found, bytes) else None

    async def keep(self, key: str, answer: bytes, *, ttl: int) -> None:
        if self._rests_until > time.monotonic():
            return
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                await self._redis.set(key, answer, ex=ttl)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)

    async def close(self) -> None:
        await self._redis.aclose()

    def _failed(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + REST
        log.warning("redis is away: answers are not kept", error=repr(error))
