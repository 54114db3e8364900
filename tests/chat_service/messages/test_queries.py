"""How often the database is asked; a round trip is a BEGIN, a statement or a COMMIT.

What commits by itself (the writer, the end of an answer) has no BEGIN and no COMMIT: they are not counted there.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from tests.chat_service.api import ChatApi
from tests.chat_service.conftest import StartChat
from tests.chat_service.fake_llm import FakeLlm, Gate, answer


@contextmanager
def round_trips() -> Iterator[list[str]]:
    """Collects what is asked of any database in this process."""
    asked: list[str] = []

    def in_transaction(word: str) -> Callable[[Connection], None]:
        def note(connection: Connection) -> None:
            if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
                asked.append(word)

        return note

    listeners: dict[str, Any] = {
        "begin": in_transaction("BEGIN"),
        "commit": in_transaction("COMMIT"),
        "rollback": in_transaction("ROLLBACK"),
        "before_cursor_execute": lambda _, __, statement, *___: asked.append(statement),
    }
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield asked
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)


@pytest.fixture
async def chat(start_chat: StartChat) -> Any:
    """Warm, and with a lease so long that its keeper asks nothing meanwhile."""
    async with start_chat(chat_lease_seconds=600) as api:
        await api.say("warm", conversation_id="conv_1")
        yield api


@pytest.mark.parametrize("fields", [{}, {"conversation_id": "conv_1"}, {"conversation_id": "conv_2"}])
async def test_sending_asks_four_times_before_the_model_is_asked(
    chat: ChatApi, llm: FakeLlm, fields: dict[str, str]
) -> None:
    gate = Gate()
    llm.will([gate, *answer("ok")])
    with round_trips() as asked:
        sending = asyncio.create_task(chat.say("Oi", **fields))
        await gate.reached.wait()
        before = list(asked)
        gate.open()
        await sending
    assert (before[0], before[-1], len(before)) == ("BEGIN", "COMMIT", 4), before
    after = [statement.split()[0] for statement in asked[len(before) :]]
    assert after == ["WITH", "WITH"], asked  # the events, which are written at once; the answer


async def test_a_list_is_one_query(chat: ChatApi) -> None:
    with round_trips() as asked:
        await chat.read("conversations")
    assert len([each for each in asked if each not in ("BEGIN", "COMMIT")]) == 1


@pytest.mark.parametrize(("length", "limit"), [(1, 100), (5, 2)])
async def test_a_page_of_messages_is_two_queries(chat: ChatApi, length: int, limit: int) -> None:
    for _ in range(length):
        await chat.say("more", conversation_id="conv_1")
    with round_trips() as asked:
        await chat.read("conversations/conv_1/messages", limit=limit)
    assert len([each for each in asked if each not in ("BEGIN", "COMMIT")]) == 2


async def test_a_message_is_one_query(chat: ChatApi) -> None:
    message = await chat.say("more", conversation_id="conv_1")
    with round_trips() as asked:
        await chat.read(f"messages/{message['id']}")
    assert len([each for each in asked if each not in ("BEGIN", "COMMIT")]) == 1
