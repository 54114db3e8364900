"""All SQL about idempotency keys, whichever service's they are."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from hashlib import sha256

from sqlalchemy import delete, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.idempotency.models import StoredAnswer

KEPT = timedelta(hours=24)

Table = type[StoredAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a key counts: the same key of another user, or on another route, is another key."""

    organization_id: str
    user_id: str
    route: str
    key: str

    @property
    def lock(self) -> int:
        """64 bits; two places that share them would only wait for each other."""
        place = "\n".join((self.organization_id, self.user_id, self.route, self.key))
        return int.from_bytes(sha256(place.encode()).digest()[:8], signed=True)


async def lock(session: AsyncSession, place: Place) -> bool:
    """Holds the place until the transaction ends; False where another transaction does.

    A statement of its own: what is read next must see what the transaction before this one has committed.
    """
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(place.lock))))


async def find_answer(session: AsyncSession, table: Table, place: Place) -> StoredAnswer | None:
    return await session.scalar(
        select(table).where(
            table.organization_id == place.organization_id,
            table.user_id == place.user_id,
            table.route == place.route,
            table.key == place.key,
            table.created_at > func.now() - literal(KEPT),
        )
    )


async def keep_answer(
    session: AsyncSession,
    table: Table,
    place: Place,
    *,
    fingerprint: bytes,
    status: int,
    body: bytes | None,
    created_id: str | None,
) -> None:
    """The caller holds the lock, so that what is in the way can only be an answer whose time is over."""
    answer = {"fingerprint": fingerprint, "status": status, "body": body, "created_id": created_id}
    kept = insert(table).values(**asdict(place), **answer)
    await session.execute(
        kept.on_conflict_do_update(
            index_elements=["organization_id", "user_id", "route", "key"], set_={**answer, "created_at": func.now()}
        )
    )


async def delete_expired(session: AsyncSession, table: Table, *, limit: int) -> int:
    """At most `limit`, the oldest first; returns how many. Replicas may do it at once."""
    row = (table.organization_id, table.user_id, table.route, table.key)
    expired = (
        select(*row)
        .where(table.created_at <= func.now() - literal(KEPT))
        .order_by(table.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    deleted = await session.scalars(delete(table).where(tuple_(*row).in_(expired)).returning(table.key))
    return len(deleted.all())
