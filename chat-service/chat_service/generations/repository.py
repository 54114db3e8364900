"""All SQL about generations, their events, and the answers they write.

The owner of a generation is a replica, not a user: but for `find_generation` and `request_stop` these statements serve
every organization's generations at once, by ids that only the replicas hold.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypedDict, cast
from uuid import UUID

from sqlalchemy import ScalarSelect, delete, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from chat_service.conversations.models import Conversation
from chat_service.generations.models import Event, Generation
from chat_service.messages.models import Message
from shared.auth import Principal

CHANNEL = "chat_generations"
"""Of NOTIFY: ids of generations, with commas between them, of which there is news."""
STOP = "!"
"""Before an id: its owner is to stop it."""
MOST_TOLD = 150
"""Generations in one NOTIFY, which holds 8,000 bytes."""
MOST_SWEPT = 100
"""Expired generations that one pass ends, so that its transaction stays short."""
MILLISECONDS_A_DAY = 86_400_000


class Said(TypedDict):
    """The columns of an answer that its events add up to."""

    content: str
    parts: list[dict[str, Any]]
    model: str | None
    provider: str | None
    usage: dict[str, Any] | None
    trail: bytes


class Outcome(TypedDict):
    """The columns of an answer that are known at its end."""

    status: str
    finish_reason: str | None
    cost_usd: Decimal | None
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Orphan:
    """A generation whose owner is silent, and what it has said: the JSON of its events, in order."""

    generation_id: str
    message_id: str
    model: str | None
    events: list[str]


def weekday_of(generation_id: str) -> int:
    """The partition of its events: the day on which its UUIDv7 was made, of seven (0 is a Thursday)."""
    return UUID(generation_id.removeprefix("gen_")).int // 2**80 // MILLISECONDS_A_DAY % 7


WRITE = """
WITH ours AS (
  SELECT id FROM chat.generations
  WHERE id = ANY($1::text[]) AND owner = $2 AND status = 'running' ORDER BY id FOR SHARE
), written AS (
  INSERT INTO chat.events (generation_id, weekday, sequence, type, data)
  SELECT said.generation_id, said.weekday, said.sequence, said.type, said.data
  FROM unnest($3::text[], $4::smallint[], $5::integer[], $6::text[], $7::text[])
    AS said (generation_id, weekday, sequence, type, data)
  JOIN ours ON ours.id = said.generation_id
  ON CONFLICT DO NOTHING
)
SELECT array_agg(id), pg_notify($8, coalesce(string_agg(id, ','), '')) FROM ours
"""
"""FOR SHARE: who takes the owner for dead waits until these events are there to be read, or they never are."""


async def write_events(
    connection: AsyncConnection, events: Mapping[str, Sequence[tuple[int, str, bytes]]], *, owner: str
) -> set[str]:
    """Commits events (by generation: sequence, type, JSON) and tells all replicas, in one round trip.

    Returns the generations that are still the owner's; of the others nothing was written. Safe to repeat.
    `connection` commits by itself; at most MOST_TOLD generations.
    """
    rows = [(of, weekday_of(of), *each) for of, said in events.items() for each in said]
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    columns[4] = [data.decode() for data in columns[4]]
    written = await connection.exec_driver_sql(WRITE, (list(events), owner, *columns, CHANNEL))
    return set(written.one()[0] or ())


EventRow = tuple[str, str, int | None, str, str]
"""id and status of a generation; sequence, type and JSON of one of its events."""

READ = """
SELECT g.id, g.status, e.sequence, e.type, e.data
FROM unnest($1::text[], $2::smallint[], $3::integer[]) AS asked (id, weekday, after)
JOIN chat.generations g ON g.id = asked.id
LEFT JOIN chat.events e ON e.generation_id = asked.id AND e.weekday = asked.weekday AND e.sequence > asked.after
ORDER BY g.id, e.sequence
"""


async def read_events(connection: AsyncConnection, after: Mapping[str, int]) -> Sequence[EventRow]:
    """The events that follow, by generation; one row without a sequence where none do.

    A generation that was deleted has no row.
    """
    days = [weekday_of(each) for each in after]
    rows = await connection.exec_driver_sql(READ, (list(after), days, list(after.values())))
    return cast("Sequence[EventRow]", rows.all())


async def find_generation(
    session: AsyncSession, generation_id: str, *, owner: Principal
) -> tuple[Generation, Message, str] | None:
    """The generation, its answer, and the id under which its user knows the conversation."""
    found = await session.execute(
        select(Generation, Message, Conversation.id)
        .join(Message, Message.id == Generation.message_id)
        .join(Conversation, Conversation.key == Generation.conversation_key)
        .where(
            Generation.id == generation_id,
            Generation.organization_id == owner.organization_id,
            Generation.user_id == owner.user_id,
            Message.organization_id == owner.organization_id,
            Conversation.organization_id == owner.organization_id,
        )
    )
    row = found.one_or_none()
    return None if row is None else (row[0], row[1], row[2])


async def request_stop(session: AsyncSession, generation_id: str, *, owner: Principal) -> bool:
    """Asks the replica that runs it to stop; False where nobody does."""
    asked = (
        update(Generation)
        .where(
            Generation.id == generation_id,
            Generation.organization_id == owner.organization_id,
            Generation.user_id == owner.user_id,
            Generation.status == "running",
        )
        .values(stop_requested=True)
        .returning(func.pg_notify(CHANNEL, STOP + generation_id))
    )
    return (await session.execute(asked)).one_or_none() is not None


async def renew_leases(
    session: AsyncSession, generation_ids: Collection[str], *, owner: str, lease: timedelta
) -> dict[str, bool]:
    """Returns those that are still the owner's to run, and whether they are to be stopped.

    Locks them in the order in which `write_events` does, so that the two never wait for each other.
    """
    held = (
        select(Generation.id)
        .where(Generation.id.in_(generation_ids), Generation.owner == owner, Generation.status == "running")
        .order_by(Generation.id)
        .with_for_update(key_share=True)
        .cte("held")
    )
    renewed = update(Generation).where(Generation.id == held.c.id)
    renewed = renewed.values(lease_expires_at=func.now() + literal(lease)).execution_options(synchronize_session=False)
    rows = await session.execute(renewed.returning(Generation.id, Generation.stop_requested))
    return {row.id: row.stop_requested for row in rows}


async def finish(
    session: AsyncSession, generation_id: str, *, owner: str, said: Said, outcome: Outcome
) -> Message | None:
    """Ends the generation and its answer, and deletes its events; None where it is the owner's no more.

    Nothing of the owner's may be on its way to `write_events` meanwhile.
    """
    ended = (
        update(Generation)
        .where(Generation.id == generation_id, Generation.owner == owner, Generation.status == "running")
        .values(status=outcome["status"], error=outcome["error"], finished_at=func.now())
        .returning(Generation.message_id, func.pg_notify(CHANNEL, generation_id))
        .cte("ended")
    )
    gone = delete(Event).where(
        Event.generation_id == generation_id,
        Event.weekday == weekday_of(generation_id),
        select(ended.c.message_id).exists(),
    )
    written = update(Message).where(Message.id == ended.c.message_id, Message.generation_id == generation_id)
    saved: Message | None = await session.scalar(
        written.values(**said, **outcome)
        .returning(Message)
        .add_cte(gone.cte("gone"))
        .execution_options(synchronize_session=False)
    )
    return saved


async def find_answers(session: AsyncSession, message_ids: Collection[str]) -> Sequence[Message]:
    """The answers that are final among these."""
    return (
        await session.scalars(select(Message).where(Message.id.in_(message_ids), Message.status != "running"))
    ).all()


async def take_expired(session: AsyncSession, *, error: dict[str, Any]) -> list[Orphan]:
    """Ends generations whose lease has run out, for `bury` to end their answers in the same transaction.

    Replicas may do this at once: each generation is ended by one of them.
    """
    expired = (
        select(Generation.id)
        .where(Generation.status == "running", Generation.lease_expires_at < func.now())
        .order_by(Generation.lease_expires_at)
        .limit(MOST_SWEPT)
        .with_for_update(skip_locked=True)
        .cte("expired")
    )
    ended = (
        update(Generation)
        .where(Generation.id == expired.c.id)
        .values(status="interrupted", error=error, finished_at=func.now())
        .returning(Generation.id, Generation.message_id)
    )
    taken = {row.id: row.message_id for row in await session.execute(ended)}
    if not taken:
        return []
    # A statement of its own: what an owner was writing while this waited for it is there by now.
    said = select(Message.generation_id, Message.model, said_so_far()).where(Message.id.in_(taken.values()))
    return [
        Orphan(generation_id, taken[generation_id], model, events or [])
        for generation_id, model, events in await session.execute(said)
    ]


def said_so_far() -> ScalarSelect[Any]:
    """The JSON of a running answer's events, in order; NULL where there is none, and for all other messages."""
    said = select(func.array_agg(aggregate_order_by(Event.data, Event.sequence)))
    return said.where(Event.generation_id == Message.generation_id, Message.status == "running").scalar_subquery()


async def bury(session: AsyncSession, orphan: Orphan, *, said: Said, error: dict[str, Any]) -> None:
    """Ends the answer of a generation that `take_expired` has ended, and tells its readers."""
    written = update(Message).where(Message.id == orphan.message_id, Message.generation_id == orphan.generation_id)
    await session.execute(written.values(**said, status="interrupted", error=error))
    await session.execute(
        delete(Event).where(
            Event.generation_id == orphan.generation_id, Event.weekday == weekday_of(orphan.generation_id)
        )
    )
    await session.execute(select(func.pg_notify(CHANNEL, orphan.generation_id)))


async def lock_running(session: AsyncSession, conversation: Conversation) -> Sequence[str]:
    """The generations that run in a conversation; their owners write nothing until the transaction ends."""
    return (
        await session.scalars(
            select(Generation.id)
            .where(
                Generation.conversation_key == conversation.key,
                Generation.organization_id == conversation.organization_id,
                Generation.status == "running",
            )
            .with_for_update()
        )
    ).all()


async def forget_generations(session: AsyncSession, generation_ids: Collection[str]) -> None:
    """Deletes the events of generations that were deleted while they ran, and tells their owners."""
    for generation_id in generation_ids:
        weekday = weekday_of(generation_id)
        await session.execute(delete(Event).where(Event.generation_id == generation_id, Event.weekday == weekday))
        for word in (STOP + generation_id, generation_id):
            await session.execute(select(func.pg_notify(CHANNEL, word)))


async def forget_days(session: AsyncSession, now: datetime) -> None:
    """Empties the partitions of the weekdays on which nothing that still runs can have begun."""
    today = int(now.timestamp() * 1000) // MILLISECONDS_A_DAY
    for day in range(2, 6):  # yesterday's may still be running, and clocks may be ahead
        partition = f"chat.events_{(today - day) % 7}"
        if await session.scalar(text(f"SELECT EXISTS (SELECT FROM {partition})")):  # noqa: S608 # a name of ours
            await session.execute(text("SET LOCAL lock_timeout = '1s'"))
            await session.execute(text(f"TRUNCATE {partition}"))
