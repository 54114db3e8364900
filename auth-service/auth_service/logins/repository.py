"""All SQL about the throttling of logins. The clock is the database's, so that replicas agree."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache

from sqlalchemy import (
    CTE,
    ColumnElement,
    Delete,
    Integer,
    LargeBinary,
    Update,
    bindparam,
    case,
    delete,
    exists,
    extract,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import array, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.sql.dml import ReturningInsert

from auth_service.logins.models import LoginThrottle

KEPT = timedelta(days=1)
NUMBERS = ("free", "longest", "forgets_every", "most")


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


@dataclass(frozen=True, slots=True)
class Throttled:
    """Whose failures an attempt adds to: an account's, an address's or both, in the order in which rows are locked."""

    account: bytes | None
    address: bytes | None


async def count_failure(
    connection: AsyncConnection, throttled: Throttled, *, account: Slowdown, address: Slowdown
) -> bool:
    """Counts one for each, or for none and returns False where one of them has to wait.

    One after another per row, across replicas: it is locked until the commit, and the next one sees it. `connection`
    commits each statement.
    """
    slowdowns = {"account": account, "address": address}
    numbers = {f"{whose}_{name}": getattr(each, name) for whose, each in slowdowns.items() for name in NUMBERS}
    counted = (await connection.scalars(_counting(), asdict(throttled) | numbers)).all()
    if len(counted) == sum(key is not None for key in asdict(throttled).values()):
        return True
    for key in counted:  # the other one was blocked at this very moment
        await connection.execute(_taking_back(), {"address": key})
    return False


@cache
def _counting() -> ReturningInsert[bytes]:
    """Made once: to put it together takes longer than to run it."""
    now = func.clock_timestamp()
    of = {name: _of_row(name) for name in NUMBERS}
    forgotten = func.floor(extract("epoch", now - LoginThrottle.failed_at) / of["forgets_every"])
    failures = func.least(func.greatest(LoginThrottle.failures - forgotten, 0) + 1, of["most"])
    doubled = func.least(func.power(2, failures - of["free"] - 1), of["longest"])
    seconds = case((failures > of["free"], doubled), else_=0)
    blocked = exists().where(_is_either(), LoginThrottle.blocked_until > now)
    key = func.unnest(array([_key("account"), _key("address")])).column_valued("given")
    rows = select(key, literal(1), now, now).where(key.is_not(None), ~blocked)
    return (
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


def _key(name: str) -> ColumnElement[bytes]:
    return bindparam(name, type_=LargeBinary)


def _is_either() -> ColumnElement[bool]:
    return or_(LoginThrottle.key == _key("account"), LoginThrottle.key == _key("address"))


def _of_row(name: str) -> ColumnElement[int]:
    """That number of the row's own slowdown."""
    account, address = (bindparam(f"{whose}_{name}", type_=Integer) for whose in ("account", "address"))
    return case((LoginThrottle.key == _key("account"), account), else_=address)


async def read_wait(connection: AsyncConnection, throttled: Throttled) -> float:
    """Seconds until the last of them may be tried again."""
    until = select(func.max(LoginThrottle.blocked_until)).where(_is_either()).scalar_subquery()
    wait = select(extract("epoch", until - func.clock_timestamp()))
    return float(await connection.scalar(wait, asdict(throttled)) or 0)


async def forget_failures(session: AsyncSession, throttled: Throttled) -> None:
    """All of the account's; of the address's only the last one, which was none."""
    await session.execute(_forgetting(), {"account": throttled.account})
    await session.execute(_taking_back(), {"address": throttled.address})


async def take_back_failure(session: AsyncSession, throttled: Throttled) -> None:
    """The one that was counted last was none: nobody waits for it."""
    for key in (throttled.account, throttled.address):
        await session.execute(_taking_back(), {"address": key})


def forgetting_failures(of: CTE) -> tuple[CTE, CTE]:
    """`forget_failures` as parts of a greater statement, where `of` has a row; parameters `account` and `address`."""
    forgotten = _forgetting().where(exists().select_from(of)).returning(LoginThrottle.key).cte("forgotten")
    first = select(func.count()).select_from(forgotten).scalar_subquery()
    taken_back = _taking_back().where(first >= 0, exists().select_from(of)).cte("taken_back")
    return forgotten, taken_back


@cache
def _forgetting() -> Delete:
    return delete(LoginThrottle).where(LoginThrottle.key == _key("account"))


@cache
def _taking_back() -> Update:
    return (
        update(LoginThrottle)
        .where(LoginThrottle.key == _key("address"))
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
