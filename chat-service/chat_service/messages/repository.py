"""All SQL about messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import CTE, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.conversations.models import Conversation
from chat_service.generations.models import ONE_PER_CONVERSATION, Generation
from chat_service.messages.errors import GenerationRunning, MessageNotFound
from chat_service.messages.models import PARENT_OF_THE_CONVERSATION, Message
from shared.auth import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A user's message and the answer that it asks for, under the ids that they will have, and who writes it."""

    content: str
    model: str | None
    parent_id: str | None
    message_id: str
    answer_id: str
    generation_id: str
    replica: str
    lease: timedelta


async def place_turn(session: AsyncSession, turn: Turn, *, conversation: Conversation) -> list[tuple[str, str]]:
    """Writes the message, the placeholder of its answer and the generation; returns what was said before them.

    One statement, because each costs the client a round trip. The history is (role, content) from the root on.
    Raises MessageNotFound for a parent that the conversation does not have, GenerationRunning for one that is busy.
    """
    parent_id = conversation.leaf_id if turn.parent_id is None else turn.parent_id
    branch = _branch(parent_id, conversation=conversation)
    history = (
        select(Message.role, Message.content)
        .join(branch, Message.id == branch.c.id)
        .order_by(branch.c.distance.desc())
        .add_cte(*_messages(turn, parent_id, conversation=conversation), *_work(turn, conversation=conversation))
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


def _messages(turn: Turn, parent_id: str | None, *, conversation: Conversation) -> tuple[CTE, CTE]:
    """One by one: SQLAlchemy keeps no compiled SQL of an insert of several rows."""
    of_both = {"organization_id": conversation.organization_id, "conversation_key": conversation.key}
    message = insert(Message).values(
        **of_both,
        id=turn.message_id,
        parent_id=parent_id,
        role="user",
        content=turn.content,
        status="completed",
    )
    answer = insert(Message).values(
        **of_both,
        id=turn.answer_id,
        parent_id=turn.message_id,
        role="assistant",
        content="",
        status="running",
        model=turn.model,
        generation_id=turn.generation_id,
    )
    return message.cte("message"), answer.cte("answer")


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
) -> Sequence[Message]:
    """At most `limit` messages from `start_id` towards the root; costs the same however long the branch is."""
    branch = _branch(start_id, conversation=conversation, limit=limit)
    query = select(Message).join(branch, Message.id == branch.c.id).order_by(branch.c.distance)
    return (await session.scalars(query)).all()


async def find_message(session: AsyncSession, message_id: str, *, owner: Principal) -> tuple[Message, str] | None:
    """The message, and the id under which its owner knows the conversation."""
    found = await session.execute(
        select(Message, Conversation.id)
        .join(Conversation, Conversation.key == Message.conversation_key)
        .where(
            Message.id == message_id,
            Message.organization_id == owner.organization_id,
            Conversation.organization_id == owner.organization_id,
            Conversation.user_id == owner.user_id,
        )
    )
    row = found.one_or_none()
    return None if row is None else (row[0], row[1])


def _branch(start_id: str | None, *, conversation: Conversation, limit: int | None = None) -> CTE:
    """The ids from `start_id` up to the root, each with its distance from the start."""
    inside = Message.conversation_key == conversation.key, Message.organization_id == conversation.organization_id
    start = select(Message.id, Message.parent_id, literal(1).label("distance")).where(Message.id == start_id, *inside)
    branch = start.cte("branch", recursive=True)
    step = select(Message.id, Message.parent_id, branch.c.distance + 1).join(branch, Message.id == branch.c.parent_id)
    if limit is not None:
        step = step.where(branch.c.distance < limit)
    return branch.union_all(step.where(*inside))
