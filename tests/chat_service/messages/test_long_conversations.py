"""A conversation of 50,000 messages opens like one of 50."""

import time
from typing import Any

import pytest
from sqlalchemy import text

from shared.database import Sessions
from tests.chat_service.api import ChatApi
from tests.chat_service.fake_llm import FakeLlm
from tests.chat_service.messages.test_queries import round_trips

LENGTH = 50_000
CHAIN = """
WITH said AS (
  INSERT INTO chat.messages (id, organization_id, conversation_key, parent_id, role, content, status)
  SELECT 'msg_' || md5(c.key::text || n), c.organization_id, c.key,
    CASE WHEN n > 1 THEN 'msg_' || md5(c.key::text || n - 1) END,
    CASE WHEN n % 2 = 1 THEN 'user' ELSE 'assistant' END, 'message ' || n, 'completed'
  FROM chat.conversations c, generate_series(1, CAST(:length AS integer)) AS n
  WHERE c.id = :id AND c.user_id = :user
)
UPDATE chat.conversations c SET leaf_id = 'msg_' || md5(c.key::text || CAST(:length AS integer))
WHERE c.id = :id AND c.user_id = :user
"""


@pytest.fixture
async def chat(chat: ChatApi, sessions: Sessions) -> ChatApi:
    """Whose `conv_long` and `conv_short` have that many messages, and 50."""
    for conversation_id, length in (("conv_long", LENGTH), ("conv_short", 50)):
        assert (await chat.ask("POST", "conversations", {"id": conversation_id})).status_code == 201
        async with sessions.begin() as session:
            values = {"id": conversation_id, "user": chat.token["user_id"], "length": length}
            await session.execute(text(CHAIN), values)
    async with sessions() as session:
        await (await session.connection()).exec_driver_sql("ANALYZE chat.messages")
        await session.commit()
    return chat


async def opened(chat: ChatApi, conversation_id: str) -> tuple[list[Any], int, float]:
    """The newest messages, how often the database was asked for them, and the shortest of some times in seconds."""
    times = []
    for _ in range(9):
        with round_trips() as asked:
            began = time.perf_counter()
            page = await chat.read(f"conversations/{conversation_id}/messages", limit=50)
            times.append(time.perf_counter() - began)
    return page["data"], len([each for each in asked if each not in ("BEGIN", "COMMIT")]), min(times)


async def test_a_long_conversation_opens_like_a_short_one(chat: ChatApi, llm: FakeLlm) -> None:
    long, asked_long, time_long = await opened(chat, "conv_long")
    short, asked_short, time_short = await opened(chat, "conv_short")
    assert (len(long), long[0]["content"]) == (len(short), f"message {LENGTH}")
    assert (asked_long, asked_short) == (2, 2)
    assert time_long < 2.5 * time_short, (time_long, time_short)

    # The whole of it is neither told to a model, nor in the way of switching and deleting.
    await chat.say("And now?", conversation_id="conv_long")
    told = llm.requests[-1]["messages"]
    assert (told[0]["role"], told[-1]["content"]) == ("user", "And now?")
    assert 1_990 <= len(told) <= 2_001
    switched = await chat.ask("PATCH", "conversations/conv_long", {"leaf_id": long[-1]["id"]})
    assert switched.status_code == 200
    assert (await chat.read("conversations/conv_long/messages", limit=1))["data"][0]["content"] == "ok"
    assert (await chat.ask("DELETE", f"messages/{long[-1]['id']}")).status_code == 204
    assert (await chat.read("conversations/conv_long/messages", limit=1))["data"][0]["content"] == "message 49950"
    assert (await chat.ask("DELETE", "conversations/conv_long")).status_code == 204
