"""All SQL about generations and the answers they write.

The owner of a generation is a replica, not a user: these statements serve every organization's generations at once,
by ids that only the replica itself holds.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypedDict

from sqlalchemy import Text, column, func, literal, select, update, values
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.generations.models import Generation
from chat_service.messages.models import Message

MOST_SWEPT = 100
"""Expired generations that one pass ends, so that its transaction stays short."""


class Said(TypedDict):
    """The columns of an answer that its generation fills."""

    content: str
    parts: list[dict[str, Any]]
    model: str | None
    provider: str | None


class Outcome(TypedDict):
    """The columns of an answer that are known at its end."""

    status: str
    finish_reason: str | None
    usage: dict[str, Any] | None
    cost_usd: Decimal | None
    error: dict[str, Any] | None


async def renew_leases(
    session: AsyncSession, generation_ids: Collection[str], *, owner: str, lease: timedelta
) -> set[str]:
    """Returns those that are still the owner's to run."""
    renewed = (
        update(Generation)
        .where(Generation.id.in_(generation_ids), Generation.owner == owner, Generation.status == "running")
        .values(lease_expires_at=func.now() + literal(lease))
    )
    return set(await session.scalars(renewed.returning(Generation.id)))


async def checkpoint(session: AsyncSession, answers: dict[str, Said]) -> None:
    """Writes what running answers (by message id) have said so far, all in one statement.

    An answer that has ended in the meantime stays as it is.
    """
    rows = values(
        column("id", Text),
        column("content", Text),
        column("parts", JSONB),
        column("model", Text),
        column("provider", Text),
        name="said",
    ).data([(message_id, *said.values()) for message_id, said in answers.items()])
    written = update(Message).where(Message.id == rows.c.id, Message.status == "running")
    await session.execute(
        written.values(
            content=rows.c.content, parts=rows.c.parts, model=rows.c.model, provider=rows.c.provider
        ).execution_options(synchronize_session=False)
    )


async def finish(
    session: AsyncSession, generation_id: str, *, owner: str, said: Said, outcome: Outcome
) -> Message | None:
    """Ends the generation and its answer; None where they were deleted meanwhile.

    The owner has the last word, also after a sweep has taken it for dead: it holds the whole text. Safe to repeat.
    """
    ended = (
        update(Generation)
        .where(Generation.id == generation_id, Generation.owner == owner)
        .values(status=outcome["status"], error=outcome["error"], finished_at=func.now())
        .returning(Generation.message_id)
        .cte("ended")
    )
    written = update(Message).where(Message.id == ended.c.message_id, Message.generation_id == generation_id)
    saved: Message | None = await session.scalar(
        written.values(**said, **outcome).returning(Message).execution_options(synchronize_session=False)
    )
    return saved


async def interrupt_expired(session: AsyncSession, *, error: dict[str, Any]) -> Sequence[str]:
    """Ends generations whose lease has run out, with the text so far; returns their answers' ids.

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
        .returning(Generation.message_id)
        .cte("ended")
    )
    written = update(Message).where(Message.id == ended.c.message_id, Message.status == "running")
    interrupted = await session.scalars(
        written.values(status="interrupted", error=error)
        .returning(Message.id)
        .execution_options(synchronize_session=False)
    )
    return interrupted.all()
