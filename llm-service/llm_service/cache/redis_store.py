"""Answers in a Redis that all replicas share. Imported only where one is configured."""

import asyncio
import time

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from llm_service.cache.stores import AnswerStore

log = structlog.get_logger(__name__)

REDIS_TIMEOUT = 0.25
"""Seconds, for one exchange; a cache that is slower than that helps nobody."""
REST = 5.0
"""Seconds for which a Redis that failed is left alone."""


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
