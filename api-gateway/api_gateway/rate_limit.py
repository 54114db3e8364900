"""How many requests a caller may make: one decision over all limits, whoever keeps the count.

The arithmetic is GCRA (the virtual scheduling algorithm of ITU-T I.371): a limit of N per minute takes a burst of N,
and gives back one request each 60/N s. A key's whole state is one number, its theoretical arrival time (TAT). All
times are whole microseconds, so that Python and Lua (`rate_limit_redis.py`) cannot round differently.
"""

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW = 60
"""Seconds to which every limit refers."""
WINDOW_US = WINDOW * 1_000_000
HIGHEST = 1_000_000
"""The highest limit, in requests per minute, whose interval still has two digits."""

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `quota` requests a minute, counted under `key`; `name` is what the client is told."""

    name: str
    key: str
    quota: int
    interval: int = field(init=False)
    """Microseconds after which one request is given back."""
    burst: int = field(init=False)
    """Microseconds that a caller may be ahead."""
    quoted: bytes = field(init=False)
    """The name as a structured field has it."""
    policy: bytes = field(init=False)
    """As `RateLimit-Policy` tells it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", WINDOW_US // self.quota)
        object.__setattr__(self, "burst", self.quota * self.interval)
        object.__setattr__(self, "quoted", b'"%b"' % self.name.encode())
        object.__setattr__(self, "policy", b"%b;q=%d;w=%d" % (self.quoted, self.quota, WINDOW))


class Standing(NamedTuple):
    """Where a limit stands after a decision. `reset` is when it is whole again, `retry` when it would admit: both in
    microseconds from now; `retry` is 0 where it had room."""

    remaining: int
    reset: int
    retry: int


class Decision(NamedTuple):
    """Either every limit had room and was charged, or none was."""

    admitted: bool
    limits: Sequence[Limit]
    standings: Sequence[Standing]

    @property
    def retry_after(self) -> float:
        """Seconds until all limits would admit the same request."""
        return max((standing.retry for standing in self.standings), default=0) / 1_000_000

    @property
    def refused_by(self) -> list[Limit]:
        return [limit for limit, standing in zip(self.limits, self.standings, strict=True) if standing.retry]

    def headers(self) -> Headers:
        """`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11)."""
        policies, standings = [], []
        for limit, standing in zip(self.limits, self.standings, strict=True):
            policies.append(limit.policy)
            standings.append(b"%b;r=%d;t=%d" % (limit.quoted, standing.remaining, -(-standing.reset // 1_000_000)))
        return [(b"ratelimit-policy", b", ".join(policies)), (b"ratelimit", b", ".join(standings))]


class RateLimiter(ABC):
    """Keeps the counts. `problem` says what is wrong where they are not those of all gateways together."""

    problem: str | None = None

    @abstractmethod
    async def decide(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        """Charges `cost` to every limit if each has room for it, and to none otherwise. Raises nothing."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Ready for decisions inside."""
        return nullcontext()


def monotonic_us() -> int:
    return time.monotonic_ns() // 1000


class MemoryRateLimiter(RateLimiter):
    """Counts in this process. What is whole again is forgotten, and so is the longest unused beyond `capacity`."""

    def __init__(self, *, capacity: int = 100_000, clock: Callable[[], int] = monotonic_us) -> None:
        self._tats: OrderedDict[str, int] = OrderedDict()
        self._capacity = capacity
        self._clock = clock

    def __len__(self) -> int:
        return len(self._tats)

    async def decide(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        return self.decide_now(limits, cost=cost)

    def decide_now(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        now, tats, admitted = self._clock(), self._tats, True
        asked = []
        for limit in limits:
            before = tats.get(limit.key, now)
            if before < now:
                before = now
            after = before + cost * limit.interval
            retry = after - limit.burst - now
            if retry > 0:
                admitted = False
            asked.append((limit, before, after, retry if retry > 0 else 0))
        standings = []
        for limit, before, after, retry in asked:
            tat = before
            if admitted:
                tat = after
                self._keep(limit.key, tat, now=now)
            standings.append(Standing((limit.burst - (tat - now)) // limit.interval, tat - now, retry))
        return Decision(admitted, limits, standings)

    def learn(self, decision: Decision) -> None:
        """Takes over what another limiter decided, so that this one could go on from there."""
        now = self._clock()
        for limit, standing in zip(decision.limits, decision.standings, strict=True):
            self._keep(limit.key, now + standing.reset, now=now)

    def _keep(self, key: str, tat: int, *, now: int) -> None:
        tats = self._tats
        tats[key] = tat
        tats.move_to_end(key)
        for _ in range(2):  # each call forgets more than it adds, if there is something to forget
            oldest = next(iter(tats))
            if tats[oldest] > now and len(tats) <= self._capacity:
                break
            del tats[oldest]
            if not tats:
                break
