"""Stopping an answer: its own call, from anywhere; the model is let go and the text is kept."""

import asyncio

import pytest
from sqlalchemy import text

from shared.database import Sessions
from shared.events import Delta
from tests.chat_service.api import ChatApi, eventually
from tests.chat_service.conftest import StartChat
from tests.chat_service.fake_llm import FakeLlm, Gate, answer, done, start


@pytest.mark.parametrize("elsewhere", [False, True], ids=["its replica", "another replica"])
async def test_a_stopped_answer_keeps_its_text_and_lets_the_model_go(
    start_chat: StartChat, llm: FakeLlm, elsewhere: bool
) -> None:
    """With leases so long that nobody is told at a renewal."""
    llm.will([start(), Delta(content="Enough"), Gate(), done()])
    async with start_chat(chat_lease_seconds=600) as chat, start_chat() as two:
        other = two.as_user(**chat.token) if elsewhere else chat
        async with chat.streamed("Oi", conversation_id="conv_1") as events:
            generation_id = (await events.until("start"))["generation_id"]
            await events.until("delta")
            stopped = await other.ask("POST", f"generations/{generation_id}/stop")
            last = (await events.rest())[-1]
        assert stopped.status_code == 200
        message = stopped.json()
        assert (message["status"], message["content"], message["error"]) == ("stopped", "Enough", None)
        assert (last[1], last[2]["finish_reason"], last[2]["message_id"]) == ("done", "stopped", message["id"])
        assert llm.readers_gone == 1
        assert await chat.read(f"messages/{message['id']}") == message
        assert (await chat.say("And?", conversation_id="conv_1"))["status"] == "completed"


async def test_a_stop_before_the_first_word_is_an_empty_answer(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([gate])
    sending = asyncio.create_task(chat.send("Oi", conversation_id="conv_1"))
    await gate.reached.wait()
    placeholder = (await chat.branch("conv_1"))[-1]
    stopped = await chat.ask("POST", f"generations/{placeholder['generation_id']}/stop")
    assert (stopped.json()["status"], stopped.json()["content"]) == ("stopped", "")
    assert (await sending).json() == stopped.json()


async def test_what_has_ended_stays_as_it_is(chat: ChatApi) -> None:
    message = await chat.say("Oi")
    for _ in range(2):
        stopped = await chat.ask("POST", f"generations/{message['generation_id']}/stop")
        assert (stopped.status_code, stopped.json()) == (200, message)


async def test_a_disconnect_is_not_a_stop(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="a"), gate, Delta(content="b"), done()])
    async with chat.streamed("Oi", conversation_id="conv_1") as events:
        await events.until("delta")
    gate.open()

    async def is_complete() -> bool:
        return bool((await chat.branch("conv_1"))[-1]["status"] == "completed")

    await eventually(is_complete, what="the answer is completed")


async def test_an_owner_that_did_not_hear_is_told_when_it_renews_its_lease(
    start_chat: StartChat, llm: FakeLlm, sessions: Sessions
) -> None:
    """What a NOTIFY would have said stands in the row."""
    llm.will([start(), Delta(content="Enough"), Gate(), done()], answer("next"))
    async with start_chat(chat_lease_seconds=2) as chat, chat.streamed("Oi") as events:
        generation_id = (await events.until("start"))["generation_id"]
        async with sessions.begin() as session:
            await session.execute(
                text("UPDATE chat.generations SET stop_requested = true WHERE id = :id"), {"id": generation_id}
            )
        last = (await events.rest())[-1]
    assert (last[1], last[2]["finish_reason"]) == ("done", "stopped")
