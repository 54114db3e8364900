"""All SQL about messages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import CTE, ColumnElement, delete, func, insert, literal, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.conversations.models import Conversation
from chat_service.generations.models import ONE_PER_CONVERSATION, Generation
from chat_service.generations.repository import said_so_far
from chat_service.messages.errors import GenerationRunning, MessageNotFound
from chat_service.messages.models import PARENT_OF_THE_CONVERSATION, Message
from shared.auth import Principal

LONGEST_HISTORY = 2_000
"""Messages that a model is told of a branch, counted from its end."""

Told = tuple[Message, list[str] | None]
"""A message, and the JSON of its events while it is a running answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """An answer, and the user's message that asks for it, under the ids that they will have; and who writes it.

    Without `content` the answer follows the parent itself.
    """

    content: str | None
    model: str | None
    parent_id: str | None
    message_id: str
    answer_id: str
    generation_id: str
    replica: str
    lease: timedelta


async def place_turn(session: AsyncSession, turn: Turn, *, conversation: Conversation) -> list[tuple[str, str]]:
    """Writes the message, the placeholder of its answer and the generation; returns what was said before them.

    One statement, because each costs the client a round trip. The history is (role, content) from the root on, at most
    LONGEST_HISTORY of it. Raises MessageNotFound for a parent that the conversation does not have, GenerationRunning
    for a conversation that is busy.
    """
    branch = _branch(turn.parent_id, conversation=conversation, limit=LONGEST_HISTORY)
    history = (
        select(Message.role, Message.content)
        .join(branch, Message.id == branch.c.id)
        .order_by(branch.c.distance.desc())
        .add_cte(*_messages(turn, conversation=conversation), *_work(turn, conversation=conversation))
    )
    try:
        return [(role, content) for role, content in await session.execute(history)]
    except IntegrityError as error:
        constraint = getattr(error.orig.__cause__, "constraint_name", None) if error.orig else None
        if constraint == ONE_PER_CONVERSATION:
            raise GenerationRunning from None
        if constraint == PARENT_OF_THE_CONVERSATION:
            raise MessageNotFound("The conversation has no message of this parent_id.") from None
        raise


def _messages(turn: Turn, *, conversation: Conversation) -> Iterator[CTE]:
    """One by one: SQLAlchemy keeps no compiled SQL of an insert of several rows."""
    of_both = {"organization_id": conversation.organization_id, "conversation_key": conversation.key}
    if turn.content is not None:
        message = insert(Message).values(
            **of_both,
            id=turn.message_id,
            parent_id=turn.parent_id,
            role="user",
            content=turn.content,
            status="completed",
        )
        yield message.cte("message")
    answer = insert(Message).values(
        **of_both,
        id=turn.answer_id,
        parent_id=turn.parent_id if turn.content is None else turn.message_id,
        role="assistant",
        content="",
        status="running",
        model=turn.model,
        generation_id=turn.generation_id,
    )
    yield answer.cte("answer")


def _work(turn: Turn, *, conversation: Conversation) -> tuple[CTE, CTE]:
    generation = insert(Generation).values(
        id=turn.generation_id,
        organization_id=conversation.organization_id,
        user_id=conversation.user_id,
        conversation_key=conversation.key,
        message_id=turn.answer_id,
        status="running",
        owner=turn.replica,
        lease_expires_at=func.now() + literal(turn.lease),
    )
    moved = update(Conversation).where(
        Conversation.key == conversation.key, Conversation.organization_id == conversation.organization_id
    )
    return generation.cte("generation"), moved.values(leaf_id=turn.answer_id, updated_at=func.now()).cte("moved")


async def read_branch(
    session: AsyncSession, start_id: str | None, *, conversation: Conversation, limit: int
) -> Sequence[Told]:
    """At most `limit` messages from `start_id` towards the root; costs the same however long the branch is."""
    branch = _branch(start_id, conversation=conversation, limit=limit)
    query = select(Message, said_so_far()).join(branch, Message.id == branch.c.id).order_by(branch.c.distance)
    return [(message, events) for message, events in await session.execute(query)]


async def find_message(session: AsyncSession, message_id: str, *, owner: Principal) -> tuple[Told, str] | None:
    """The message, and the id under which its owner knows the conversation."""
    found = await session.execute(
        select(Message, said_so_far(), Conversation.id)
        .join(Conversation, Conversation.key == Message.conversation_key)
        .where(Message.id == message_id, *_of(owner))
    )
    row = found.one_or_none()
    return None if row is None else ((row[0], row[1]), row[2])


async def lock_message(
    session: AsyncSession, message_id: str, *, owner: Principal
) -> tuple[Message, Conversation] | None:
    """With its conversation, whose row stays locked until the transaction ends."""
    found = await session.execute(
        select(Message, Conversation)
        .join(Conversation, Conversation.key == Message.conversation_key)
        .where(Message.id == message_id, *_of(owner))
        .with_for_update(of=Conversation)
    )
    row = found.one_or_none()
    return None if row is None else (row[0], row[1])


async def list_siblings(session: AsyncSession, message: Message, *, limit: int, after: str | None) -> Sequence[Told]:
    """The messages with the same parent, the oldest first, those after the id `after`."""
    query = select(Message, said_so_far()).where(
        Message.conversation_key == message.conversation_key,
        Message.organization_id == message.organization_id,
        Message.parent_id.is_not_distinct_from(message.parent_id),
        Message.role == message.role,
    )
    if after is not None:
        query = query.where(Message.id > after)
    return [(each, events) for each, events in await session.execute(query.order_by(Message.id).limit(limit))]


async def newest_below(session: AsyncSession, message_id: str, *, conversation: Conversation) -> str | None:
    """The last message of the branch that was written to last among those through the message; None without one."""
    inside = Message.conversation_key == conversation.key, Message.organization_id == conversation.organization_id
    start = select(Message.id, literal(1).label("distance")).where(Message.id == message_id, *inside)
    way = start.cte("way", recursive=True)
    child = select(Message.id).where(Message.parent_id == way.c.id, *inside).order_by(Message.id.desc()).limit(1)
    newest = child.correlate(way).lateral("newest")
    way = way.union_all(select(newest.c.id, way.c.distance + 1).select_from(way).join(newest, true()))
    return await session.scalar(select(way.c.id).order_by(way.c.distance.desc()).limit(1))


async def delete_below(session: AsyncSession, message: Message, *, conversation: Conversation) -> set[str]:
    """Deletes the message and all that follows it, in whichever branch; returns the ids.

    In one statement: the foreign keys of a long branch would call each other once per message.
    """
    inside = Message.conversation_key == conversation.key, Message.organization_id == conversation.organization_id
    below = select(Message.id).where(Message.id == message.id, *inside).cte("below", recursive=True)
    below = below.union_all(select(Message.id).join(below, Message.parent_id == below.c.id).where(*inside))
    deleted = delete(Message).where(Message.id.in_(select(below.c.id)), *inside).returning(Message.id)
    return set(await session.scalars(deleted.execution_options(synchronize_session=False)))


async def keep_feedback(session: AsyncSession, message: Message, *, feedback: dict[str, Any] | None) -> None:
    await session.execute(
        update(Message)
        .where(Message.id == message.id, Message.organization_id == message.organization_id)
        .values(feedback=feedback)
    )


def _of(owner: Principal) -> tuple[ColumnElement[bool], ...]:
    return (
        Message.organization_id == owner.organization_id,
        Conversation.organization_id == owner.organization_id,
        Conversation.user_id == owner.user_id,
    )


def _branch(start_id: str | None, *, conversation: Conversation, limit: int) -> CTE:
    """The ids from `start_id` towards the root, at most `limit`, each with its distance from the start."""
    inside = Message.conversation_key == conversation.key, Message.organization_id == conversation.organization_id
    start = select(Message.id, Message.parent_id, literal(1).label("distance")).where(Message.id == start_id, *inside)
    branch = start.cte("branch", recursive=True)
    step = select(Message.id, Message.parent_id, branch.c.distance + 1).join(branch, Message.id == branch.c.parent_id)
    return branch.union_all(step.where(branch.c.distance < limit, *inside))
