"""Sending a message, and reading what was said."""

import re
from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.conversations.repository import open_conversation
from chat_service.conversations.service import ConversationService
from chat_service.messages import repository
from chat_service.messages.errors import MessageNotFound
from chat_service.messages.schemas import MessageCreate, MessageView, view_of
from chat_service.running.live import LiveGeneration
from chat_service.running.recorded import recorded
from chat_service.running.runner import Runner
from shared.auth import Principal
from shared.database import Sessions
from shared.errors import MalformedRequest
from shared.idempotency import Key
from shared.idempotency.errors import StillRunning
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor

ANY_MODEL = "auto"
"""What the model's service is asked for where neither the message nor its conversation names a model."""
_MESSAGE_ID = re.compile(r"msg_[0-9a-f]{32}")


class MessageService:
    """Opens transactions of its own, because sending a message goes on after its transaction."""

    def __init__(self, sessions: Sessions, runner: Runner) -> None:
        self._sessions = sessions
        self._runner = runner

    async def send(
        self, message: MessageCreate, *, sender: Principal, key: Key | None, request_id: str
    ) -> LiveGeneration:
        """Commits the message, the placeholder of its answer and the generation; then asks the model.

        A key that came before finds the generation that it began, and begins no other.
        Raises MessageNotFound for an unknown parent, GenerationRunning, Draining, StillRunning, KeyReused.
        """
        self._runner.check_accepting()
        turn = self._turn(message)
        async with self._sessions.begin() as session:
            if key is not None and (begun := await key.find(session)) is not None:
                return await self._find_generation(session, str(begun.created_id), sender=sender)
            conversation = await open_conversation(
                session, message.conversation_id or new_id("conv"), model=message.model, owner=sender
            )
            said = await repository.place_turn(session, turn, conversation=conversation)
            if key is not None:
                await key.keep(session, created_id=turn.answer_id)
        live = LiveGeneration(
            turn.generation_id,
            message_id=turn.answer_id,
            conversation_id=conversation.id,
            model=message.model,
        )
        request = {
            "model": conversation.model or ANY_MODEL,
            "messages": [*_history(said), {"role": "user", "content": message.content}],
        }
        self._runner.start(live, request, principal=sender, request_id=request_id)
        return live

    async def find(self, message_id: str, *, reader: Principal) -> MessageView:
        """Raises MessageNotFound, also for what belongs to someone else."""
        if not _MESSAGE_ID.fullmatch(message_id):
            raise MessageNotFound
        async with self._sessions.begin() as session:
            found = await repository.find_message(session, message_id, owner=reader)
        if found is None:
            raise MessageNotFound
        message, conversation_id = found
        return view_of(message, conversation_id=conversation_id)

    async def page(
        self, conversation_id: str, *, reader: Principal, limit: int, cursor: str | None
    ) -> Page[MessageView]:
        """The active branch from its newest message back to the root; the cursor is the message to go on with.

        Raises ConversationNotFound.
        """
        async with self._sessions.begin() as session:
            conversation = await ConversationService(session).find(conversation_id, owner=reader)
            start_id = conversation.leaf_id if cursor is None else _message_id(cursor)
            branch = await repository.read_branch(session, start_id, conversation=conversation, limit=limit + 1)
        if cursor is not None and not branch:
            raise _unknown_cursor()
        shown, rest = branch[:limit], branch[limit:]
        return Page(
            data=[view_of(message, conversation_id=conversation_id) for message in shown],
            next_cursor=encode_cursor(rest[0].id) if rest else None,
        )

    def _turn(self, message: MessageCreate) -> repository.Turn:
        return repository.Turn(
            content=message.content,
            model=message.model,
            parent_id=message.parent_id,
            message_id=new_id("msg"),
            answer_id=new_id("msg"),
            generation_id=new_id("gen"),
            replica=self._runner.replica,
            lease=self._runner.lease,
        )

    async def _find_generation(self, session: AsyncSession, answer_id: str, *, sender: Principal) -> LiveGeneration:
        """Raises StillRunning where another replica runs it, MessageNotFound where it was deleted."""
        found = await repository.find_message(session, answer_id, owner=sender)
        if found is None:
            raise MessageNotFound("What was created with this Idempotency-Key was deleted since.")
        message, conversation_id = found
        if live := self._runner.live.get(str(message.generation_id)):
            return live
        if message.status == "running":
            raise StillRunning
        return recorded(view_of(message, conversation_id=conversation_id))


def _history(said: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """What the model is told of the branch; an answer that never got a word out is not part of it."""
    return [{"role": role, "content": content} for role, content in said if content or role != "assistant"]


def _message_id(cursor: str) -> str:
    (message_id,) = decode_cursor(cursor, parts=1)
    if not _MESSAGE_ID.fullmatch(message_id):
        raise _unknown_cursor()
    return message_id


def _unknown_cursor() -> MalformedRequest:
    return MalformedRequest("The cursor is not one that this API gave out.")
