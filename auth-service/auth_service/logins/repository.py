"""All SQL about the throttling of logins. The clock is the database's, so that replicas agree."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, LargeBinary, case, cast, delete, extract, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.logins.models import LoginThrottle

KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Slowdown:
    """After `free` failures each further one doubles the wait, from one second up to `longest`; one failure is
    forgotten every `forgets_every` seconds.
    """

    free: int
    longest: int
    forgets_every: int

    @property
    def most(self) -> int:
        """More failures are not counted, so that all are forgotten in a foreseeable time."""
        return self.free + (self.longest - 1).bit_length() + 1


async def count_failure(session: AsyncSession, slowdowns: Mapping[bytes, Slowdown]) -> bool:
    """Counts a failure for each key, or returns False where one has to wait: then the caller rolls back.

    One after another per key, across replicas: the row is locked until the commit, and the next one sees it.
    """
    now = func.clock_timestamp()
    of = {name: _by_key(slowdowns, name) for name in ("free", "longest", "forgets_every", "most")}
    forgotten = func.floor(extract("epoch", now - LoginThrottle.failed_at) / of["forgets_every"])
    failures = func.least(func.greatest(LoginThrottle.failures - forgotten, 0) + 1, of["most"])
    doubled = func.least(func.power(2, failures - of["free"] - 1), of["longest"])
    seconds = case((failures > of["free"], doubled), else_=0)
    in_order = cast(sorted(slowdowns), ARRAY(LargeBinary))  # the same for all: no two attempts wait for each other
    rows = select(func.unnest(in_order), literal(1), now, now)  # a list of VALUES would be compiled at every login
    counted = await session.scalars(
        insert(LoginThrottle)
        .from_select(["key", "failures", "failed_at", "blocked_until"], rows)
        .on_conflict_do_update(
            index_elements=[LoginThrottle.key],
            set_={
                "failures": failures,
                "failed_at": now,
                "blocked_until": now + func.make_interval(0, 0, 0, 0, 0, 0, seconds),
            },
            where=LoginThrottle.blocked_until <= now,
        )
        .returning(LoginThrottle.key)
    )
    return len(counted.all()) == len(slowdowns)


def _by_key(slowdowns: Mapping[bytes, Slowdown], name: str) -> ColumnElement[int]:
    """That number of the row's own slowdown."""
    return case({key: getattr(slowdowns[key], name) for key in sorted(slowdowns)}, value=LoginThrottle.key)


async def read_wait(session: AsyncSession, keys: Collection[bytes]) -> float:
    """Seconds until the last of them may be tried again."""
    until = select(func.max(LoginThrottle.blocked_until)).where(LoginThrottle.key.in_(keys)).scalar_subquery()
    return float(await session.scalar(select(extract("epoch", until - func.clock_timestamp()))) or 0)


async def forget_failures(session: AsyncSession, key: bytes) -> None:
    await session.execute(delete(LoginThrottle).where(LoginThrottle.key == key))


async def take_back_failure(session: AsyncSession, key: bytes) -> None:
    """The one that was counted last was none: nobody waits for it."""
    await session.execute(
        update(LoginThrottle)
        .where(LoginThrottle.key == key)
        .values(failures=func.greatest(LoginThrottle.failures - 1, 0), blocked_until=func.clock_timestamp())
    )


async def delete_old_failures(session: AsyncSession, *, at_most: int) -> None:
    """Passes by those that somebody else works on."""
    old = (
        select(LoginThrottle.key)
        .where(LoginThrottle.failed_at < func.now() - KEPT)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(LoginThrottle).where(LoginThrottle.key.in_(old.scalar_subquery())))
