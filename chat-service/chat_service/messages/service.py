"""Asking for answers, and reading what was said."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from chat_service.conversations.models import Conversation
from chat_service.conversations.repository import open_conversation, update_conversation
from chat_service.conversations.service import ConversationService
from chat_service.generations.repository import forget_generations, lock_running
from chat_service.messages import repository
from chat_service.messages.errors import MessageNotFound, NotEditable, NothingToContinue
from chat_service.messages.models import Message
from chat_service.messages.schemas import AnswerWanted, Feedback, MessageCreate, MessageEdit, MessageView, view_of
from chat_service.running.answer import said_in
from chat_service.running.feed import Feed, Place
from chat_service.running.following import Following
from chat_service.running.live import LiveGeneration
from chat_service.running.recorded import Saved
from chat_service.running.runner import Runner
from shared.auth import Principal
from shared.database import Sessions
from shared.errors import MalformedRequest
from shared.idempotency import Key
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor

ANY_MODEL = "auto"
"""What the model's service is asked for where neither the message nor its conversation names a model."""
GO_ON = "Continue your last message from exactly where it ends. Repeat nothing of it."
"""What a model is told, beside the conversation, to continue an answer that was cut."""
_MESSAGE_ID = re.compile(r"msg_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Asked:
    """Where an answer is wanted: after the parent, or after a new message of the user's that follows the parent."""

    conversation: Conversation
    parent_id: str | None
    content: str | None
    model: str | None


class MessageService:
    """Opens transactions of its own, because sending a message goes on after its transaction."""

    def __init__(self, sessions: Sessions, runner: Runner, following: Following) -> None:
        self._sessions = sessions
        self._runner = runner
        self._following = following

    async def send(self, message: MessageCreate, *, sender: Principal, key: Key | None, request_id: str) -> Feed:
        """Commits the message, the placeholder of its answer and the generation; then asks the model.

        A key that came before finds the generation that it began, and begins no other.
        Raises MessageNotFound for an unknown parent, GenerationRunning, Draining, StillRunning, KeyReused.
        """

        async def place(session: AsyncSession) -> Asked:
            conversation_id = message.conversation_id or new_id("conv")
            conversation = await open_conversation(session, conversation_id, model=message.model, owner=sender)
            parent_id = conversation.leaf_id if message.parent_id is None else message.parent_id
            return Asked(conversation, parent_id, message.content, message.model)

        return await self._generate(place, sender=sender, key=key, request_id=request_id)

    async def edit(
        self, message_id: str, edited: MessageEdit, *, sender: Principal, key: Key | None, request_id: str
    ) -> Feed:
        """Sends the message anew, beside the old one. Raises MessageNotFound, NotEditable, and what `send` does."""

        async def place(session: AsyncSession) -> Asked:
            message, conversation = await _lock(session, message_id, owner=sender)
            if message.role != "user":
                raise NotEditable
            return Asked(conversation, message.parent_id, edited.content, edited.model)

        return await self._generate(place, sender=sender, key=key, request_id=request_id)

    async def regenerate(
        self, message_id: str, wanted: AnswerWanted, *, sender: Principal, key: Key | None, request_id: str
    ) -> Feed:
        """One more answer: beside this one, or to this message of the user's. Raises MessageNotFound, as `send`."""

        async def place(session: AsyncSession) -> Asked:
            message, conversation = await _lock(session, message_id, owner=sender)
            asked = message.id if message.role == "user" else message.parent_id
            return Asked(conversation, asked, None, wanted.model)

        return await self._generate(place, sender=sender, key=key, request_id=request_id)

    async def go_on(
        self, message_id: str, wanted: AnswerWanted, *, sender: Principal, key: Key | None, request_id: str
    ) -> Feed:
        """The rest of an answer that was cut, as a message that follows it.

        Raises MessageNotFound, NothingToContinue, and what `send` does.
        """

        async def place(session: AsyncSession) -> Asked:
            message, conversation = await _lock(session, message_id, owner=sender)
            cut = message.status in ("stopped", "interrupted", "failed") or message.finish_reason == "length"
            if message.role != "assistant" or not message.content or not cut:
                raise NothingToContinue
            return Asked(conversation, message.id, None, wanted.model)

        return await self._generate(place, sender=sender, key=key, request_id=request_id)

    async def find(self, message_id: str, *, reader: Principal) -> MessageView:
        """Raises MessageNotFound, also for what belongs to someone else."""
        async with self._sessions.begin() as session:
            told, conversation_id = await _find(session, message_id, owner=reader)
        return _view(told, conversation_id=conversation_id)

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
            data=[_view(told, conversation_id=conversation_id) for told in shown],
            next_cursor=encode_cursor(rest[0][0].id) if rest else None,
        )

    async def siblings(
        self, message_id: str, *, reader: Principal, limit: int, cursor: str | None
    ) -> Page[MessageView]:
        """The versions of a message, itself among them, the oldest first. Raises MessageNotFound."""
        after = None if cursor is None else _message_id(cursor)
        async with self._sessions.begin() as session:
            (message, _), conversation_id = await _find(session, message_id, owner=reader)
            found = await repository.list_siblings(session, message, limit=limit + 1, after=after)
        shown = found[:limit]
        return Page(
            data=[_view(told, conversation_id=conversation_id) for told in shown],
            next_cursor=encode_cursor(shown[-1][0].id) if len(found) > limit else None,
        )

    async def delete(self, message_id: str, *, owner: Principal) -> None:
        """With all that follows it, in every branch; an answer among it that is being written ends.

        Raises MessageNotFound.
        """
        async with self._sessions.begin() as session:
            message, conversation = await _lock(session, message_id, owner=owner)
            running = await lock_running(session, conversation)
            deleted = await repository.delete_below(session, message, conversation=conversation)
            if conversation.leaf_id in deleted:
                await update_conversation(session, conversation, columns={"leaf_id": message.parent_id})
            left = await lock_running(session, conversation)
            await forget_generations(session, set(running) - set(left))

    async def rate(self, message_id: str, feedback: Feedback | None, *, owner: Principal) -> None:
        """Raises MessageNotFound."""
        async with self._sessions.begin() as session:
            (message, _), _ = await _find(session, message_id, owner=owner)
            kept = None if feedback is None else feedback.model_dump()
            await repository.keep_feedback(session, message, feedback=kept)

    async def _generate(
        self,
        place: Callable[[AsyncSession], Awaitable[Asked]],
        *,
        sender: Principal,
        key: Key | None,
        request_id: str,
    ) -> Feed:
        self._runner.check_accepting()
        async with self._sessions.begin() as session:
            if key is not None and (begun := await key.find(session)) is not None:
                return await self._find_generation(session, str(begun.created_id), sender=sender)
            asked = await place(session)
            turn = self._turn(asked)
            said = await repository.place_turn(session, turn, conversation=asked.conversation)
            if key is not None:
                await key.keep(session, created_id=turn.answer_id)
        live = LiveGeneration(
            _place(turn.answer_id, turn.generation_id, asked.conversation.id, sender), model=asked.model
        )
        self._runner.start(live, _request(asked, said), principal=sender, request_id=request_id)
        return live

    def _turn(self, asked: Asked) -> repository.Turn:
        return repository.Turn(
            content=asked.content,
            model=asked.model,
            parent_id=asked.parent_id,
            message_id=new_id("msg"),
            answer_id=new_id("msg"),
            generation_id=new_id("gen"),
            replica=self._runner.replica,
            lease=self._runner.lease,
        )

    async def _find_generation(self, session: AsyncSession, answer_id: str, *, sender: Principal) -> Feed:
        """Raises MessageNotFound where the answer was deleted."""
        found = await repository.find_message(session, answer_id, owner=sender)
        if found is None:
            raise MessageNotFound("What was created with this Idempotency-Key was deleted since.")
        (message, _), conversation_id = found
        generation_id = str(message.generation_id)
        if live := self._runner.live.get(generation_id):
            return live
        place = _place(message.id, generation_id, conversation_id, sender)
        if message.status == "running":
            return self._following.feed(place)
        return Feed.of_saved(place, Saved.of(message, conversation_id=conversation_id))


async def _find(session: AsyncSession, message_id: str, *, owner: Principal) -> tuple[repository.Told, str]:
    found = None
    if _MESSAGE_ID.fullmatch(message_id):
        found = await repository.find_message(session, message_id, owner=owner)
    if found is None:
        raise MessageNotFound
    return found


async def _lock(session: AsyncSession, message_id: str, *, owner: Principal) -> tuple[Message, Conversation]:
    found = None
    if _MESSAGE_ID.fullmatch(message_id):
        found = await repository.lock_message(session, message_id, owner=owner)
    if found is None:
        raise MessageNotFound
    return found


def _place(message_id: str, generation_id: str, conversation_id: str, owner: Principal) -> Place:
    return Place(
        generation_id=generation_id,
        message_id=message_id,
        conversation_id=conversation_id,
        organization_id=owner.organization_id,
        user_id=owner.user_id,
    )


def _view(told: repository.Told, *, conversation_id: str) -> MessageView:
    message, events = told
    said = None if events is None else said_in(events, model=message.model)
    return view_of(message, conversation_id=conversation_id, said=said)


def _request(asked: Asked, said: list[tuple[str, str]]) -> dict[str, Any]:
    """What the model's service is asked."""
    conversation = asked.conversation
    told = _history(said, content=asked.content)
    if conversation.system_prompt is not None:
        told.insert(0, {"role": "system", "content": conversation.system_prompt})
    return {
        **conversation.settings,
        "model": asked.model or conversation.model or ANY_MODEL,
        "messages": told,
    }


def _history(said: list[tuple[str, str]], *, content: str | None) -> list[dict[str, str]]:
    """What the model is told of the branch; an answer that never got a word out is not part of it.

    The pieces of an answer that was continued are one message.
    """
    whole = len(said) < repository.LONGEST_HISTORY
    told: list[dict[str, str]] = []
    for role, text in said if whole else dropwhile(lambda each: each[0] != "user", said):
        if role == "assistant" and told and told[-1]["role"] == role:
            told[-1]["content"] += text
        elif text or role != "assistant":
            told.append({"role": role, "content": text})
    last = GO_ON if content is None and told[-1]["role"] == "assistant" else content
    return told if last is None else [*told, {"role": "user", "content": last}]


def _message_id(cursor: str) -> str:
    (message_id,) = decode_cursor(cursor, parts=1)
    if not _MESSAGE_ID.fullmatch(message_id):
        raise _unknown_cursor()
    return message_id


def _unknown_cursor() -> MalformedRequest:
    return MalformedRequest("The cursor is not one that this API gave out.")
