"""Counts that several gateways share, in Redis or Valkey; while it is away, each gateway counts by itself."""

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from api_gateway.rate_limit import Decision, Limit, MemoryRateLimiter, RateLimiter, Standing

log = structlog.get_logger(__name__)

TIMEOUT = 0.25
"""Seconds for one exchange with Redis; then it counts as away."""
ONE_TURN = 0.05
"""Seconds more, in which an answer that arrived while this process was busy is noticed."""
PROBE_INTERVAL = 0.5
"""Seconds between looks whether Redis is back. Requests never look: none waits for a Redis that is away."""
LARGEST_BATCH = 128
PREFIX = "synapscale:limit:"

# ARGV: time in microseconds ('' for the server's), cost, then interval and quota of each key.
# Answer: whether it is admitted, then remaining, reset and retry of each key. The arithmetic is MemoryRateLimiter's.
# A key is kept for a minute after it is whole again, so that a clock that is set back gives nothing away.
SCRIPT = """
local now
if ARGV[1] == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
else
  now = tonumber(ARGV[1])
end
local cost = tonumber(ARGV[2])
local found = redis.call('MGET', unpack(KEYS))
local before, after, retries, admitted = {}, {}, {}, 1
for i = 1, #KEYS do
  local interval, quota = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  before[i] = math.max(tonumber(found[i] or now), now)
  after[i] = before[i] + cost * interval
  retries[i] = math.max(0, after[i] - quota * interval - now)
  if retries[i] > 0 then admitted = 0 end
end
local answer = {admitted}
for i = 1, #KEYS do
  local interval, quota = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local tat = before[i]
  if admitted == 1 then
    tat = after[i]
    redis.call('SET', KEYS[i], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 60000)
  end
  answer[#answer + 1] = math.floor((quota * interval - (tat - now)) / interval)
  answer[#answer + 1] = tat - now
  answer[#answer + 1] = retries[i]
end
return answer
"""
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class _Asked(NamedTuple):
    limits: Sequence[Limit]
    cost: int
    answer: asyncio.Future[Decision]


class RedisRateLimiter(RateLimiter):
    """Decisions that are asked for while an exchange is under way leave together in the next: no request costs more
    than one round trip, and many cost less."""

    def __init__(self, url: str, *, local: MemoryRateLimiter | None = None) -> None:
        self._redis: Redis = Redis.from_url(
            url, max_connections=4, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
        )
        self._local = local or MemoryRateLimiter()
        self._asked: deque[_Asked] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._prober: asyncio.Task[None] | None = None
        self.times_lost = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            await self._in_time(self._redis.script_load(SCRIPT))
        except (RedisError, OSError) as error:
            self._lost(error)
        try:
            yield
        finally:
            tasks = [task for task in (self._sender, self._prober) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._decide_alone([])
            await self._redis.aclose()

    async def decide(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        if self.problem is not None or not limits:
            return self._local.decide_now(limits, cost=cost)
        asked = _Asked(limits, cost, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await asked.answer

    async def _send(self) -> None:
        try:
            while self._asked:
                batch = [self._asked.popleft() for _ in range(min(len(self._asked), LARGEST_BATCH))]
                try:
                    await self._exchange(batch)
                except BaseException as error:  # whatever it is, these requests are decided, and not without a limit
                    self._decide_alone(batch)
                    if not isinstance(error, Exception):
                        raise
                    self._lost(error)
        finally:
            self._sender = None

    def _decide_alone(self, batch: list[_Asked]) -> None:
        """Leaves nobody waiting: `batch` and whoever asked since."""
        for asked in [*batch, *self._asked]:
            _tell(asked, self._local.decide_now(asked.limits, cost=asked.cost))
        self._asked.clear()

    async def _exchange(self, batch: list[_Asked]) -> None:
        """Raises RedisError or OSError."""
        answers = await self._in_time(self._evaluate(batch))
        forgotten = [asked for asked, answer in zip(batch, answers, strict=True) if isinstance(answer, NoScriptError)]
        if forgotten:  # Redis was started anew
            await self._in_time(self._redis.script_load(SCRIPT))
            again = dict(zip(map(id, forgotten), await self._in_time(self._evaluate(forgotten)), strict=True))
            answers = [again.get(id(asked), answer) for asked, answer in zip(batch, answers, strict=True)]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        for asked, answer in zip(batch, answers, strict=True):
            decision = decision_of(asked.limits, answer)
            self._local.learn(decision)
            _tell(asked, decision)

    async def _evaluate(self, batch: list[_Asked]) -> list[Any]:
        if len(batch) == 1:
            try:
                return [await self._redis.evalsha(SHA, *arguments_of(batch[0].limits, cost=batch[0].cost))]
            except NoScriptError as error:
                return [error]
        async with self._redis.pipeline(transaction=False) as pipe:
            for asked in batch:
                pipe.evalsha(SHA, *arguments_of(asked.limits, cost=asked.cost))
            return await pipe.execute(raise_on_error=False)

    async def _in_time(self, exchange: Any) -> Any:
        """Raises TimeoutError (an OSError). A process that was busy does not take its own delay for that of Redis."""
        task = asyncio.ensure_future(exchange)
        try:
            done, _ = await asyncio.wait({task}, timeout=TIMEOUT)
            if not done:
                done, _ = await asyncio.wait({task}, timeout=ONE_TURN)
            if not done:
                raise TimeoutError(f"Redis did not answer within {TIMEOUT:g} s")
            return task.result()
        finally:
            task.cancel()

    def _lost(self, error: Exception) -> None:
        log.warning("redis is away: rate limits are counted by each gateway alone", error=repr(error))
        self.problem = "Redis is away: each gateway counts by itself"
        self.times_lost += 1
        if self._prober is None:
            self._prober = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        while self.problem is not None:
            await asyncio.sleep(PROBE_INTERVAL)
            with contextlib.suppress(RedisError, OSError):
                await self._in_time(self._redis.script_load(SCRIPT))
                self.problem = None
        self._prober = None
        log.info("redis is back: rate limits are shared again")


def arguments_of(limits: Sequence[Limit], *, cost: int, now: int | None = None) -> list[Any]:
    """What `EVALSHA` takes after the hash; `now` in microseconds where it is not to be the server's."""
    numbers = [number for limit in limits for number in (limit.interval, limit.quota)]
    keys = [PREFIX + limit.key for limit in limits]
    return [len(limits), *keys, "" if now is None else now, cost, *numbers]


def decision_of(limits: Sequence[Limit], answer: list[int]) -> Decision:
    admitted, *numbers = answer
    standings = [Standing(*numbers[start : start + 3]) for start in range(0, len(numbers), 3)]
    return Decision(admitted == 1, limits, standings)


def _tell(asked: _Asked, decision: Decision) -> None:
    if not asked.answer.done():  # its client may have left
        asked.answer.set_result(decision)
