"""chat-service as a process that is killed, or told to stop, while it writes an answer."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from shared.events import Delta
from shared.ids import new_id
from tests.chat_service.api import ChatApi, EventReader, eventually
from tests.chat_service.fake_llm import FakeLlm, Gate, done, start
from tests.chat_service.serving import chat_process, served
from tests.tokens import auth_stub


@pytest.fixture
async def environment(database_url: str, llm: FakeLlm) -> AsyncIterator[dict[str, str]]:
    """The settings of a process whose neighbours are in this one."""
    async with served(auth_stub().app) as auth_url, served(llm.app) as llm_url:
        yield {
            "database_url": database_url,
            "auth_url": auth_url,
            "llm_url": llm_url,
            "chat_lease_seconds": "1",
        }


async def text_is_saved(chat: ChatApi, content: str) -> bool:
    return bool((await chat.branch("conv_1"))[-1]["content"] == content)


async def answer_ended(chat: ChatApi) -> bool:
    return bool((await chat.branch("conv_1"))[-1]["status"] != "running")


async def refuses(client: httpx2.AsyncClient) -> bool:
    try:
        await client.get("/health", headers={"connection": "close"})
    except httpx2.ConnectError:
        return True
    except (httpx2.ReadError, httpx2.RemoteProtocolError):
        return False  # it was in the backlog when the listener closed; the next one is refused
    return False


async def shown(events: EventReader, content: str) -> None:
    text = ""
    while text != content:
        text += (await events.next())[2]["content"]


async def test_a_killed_replica_loses_no_message_and_no_text(
    environment: dict[str, str], llm: FakeLlm, tmp_path: Path
) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="Half an "), Delta(content="answer"), gate, done()])
    user_id = new_id("usr")
    async with chat_process(tmp_path, **environment) as doomed:
        chat = doomed.api(user_id=user_id)
        async with chat.streamed("Oi", conversation_id="conv_1") as events:
            await shown(events, "Half an answer")
            await eventually(lambda: text_is_saved(chat, "Half an answer"), what="the checkpoint", within=2)
            assert await doomed.end(signal.SIGKILL) == -signal.SIGKILL
    async with chat_process(tmp_path, **environment) as successor:
        chat = successor.api(user_id=user_id)
        await eventually(lambda: answer_ended(chat), what="the orphan is marked")
        question, reply = await chat.branch("conv_1")
        assert (question["content"], question["status"]) == ("Oi", "completed")
        assert (reply["content"], reply["status"]) == ("Half an answer", "interrupted")
        assert reply["error"]["code"] == "interrupted"
        assert (await chat.say("Again", conversation_id="conv_1"))["status"] == "completed"
        assert len(await chat.branch("conv_1")) == 4
    told = [(message["role"], message["content"]) for message in llm.requests[-1]["messages"]]
    assert told == [("user", "Oi"), ("assistant", "Half an answer"), ("user", "Again")]


async def test_a_message_is_kept_that_was_killed_before_its_first_word(
    environment: dict[str, str], llm: FakeLlm, tmp_path: Path
) -> None:
    gate = Gate()
    llm.will([gate])
    user_id = new_id("usr")
    async with chat_process(tmp_path, **environment) as doomed:
        body = {"content": "Oi", "conversation_id": "conv_1"}
        sending = asyncio.create_task(doomed.api(user_id=user_id).post(body))
        await gate.reached.wait()
        await doomed.end(signal.SIGKILL)
        await asyncio.gather(sending, return_exceptions=True)
    async with chat_process(tmp_path, **environment) as successor:
        chat = successor.api(user_id=user_id)
        await eventually(lambda: answer_ended(chat), what="the orphan is marked")
        assert [(m["content"], m["status"]) for m in await chat.branch("conv_1")] == [
            ("Oi", "completed"),
            ("", "interrupted"),
        ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_replica_that_is_told_to_stop_marks_its_answers_itself(
    environment: dict[str, str], llm: FakeLlm, tmp_path: Path, number: signal.Signals
) -> None:
    llm.will([start(), Delta(content="Half an answer"), Gate(), done()])
    user_id = new_id("usr")
    async with chat_process(tmp_path, **environment | {"chat_lease_seconds": "600"}) as stopping:
        async with stopping.api(user_id=user_id).streamed("Oi", conversation_id="conv_1") as events:
            await shown(events, "Half an answer")
            told = time.monotonic()
            stopping.process.send_signal(number)
            last = (await events.rest())[-1]
            assert (last[1], last[2]["code"]) == ("error", "interrupted")
        await stopping.process.wait()
        assert time.monotonic() - told < 5
    async with chat_process(tmp_path, **environment | {"chat_lease_seconds": "600"}) as successor:
        question, reply = await successor.api(user_id=user_id).branch("conv_1")
        assert (question["content"], reply["content"], reply["status"]) == ("Oi", "Half an answer", "interrupted")


async def test_a_replica_that_is_told_to_stop_lets_answers_without_readers_finish(
    environment: dict[str, str], llm: FakeLlm, tmp_path: Path
) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="Half"), gate, Delta(content=" and half"), done()])
    user_id = new_id("usr")
    async with chat_process(tmp_path, **environment) as stopping:
        async with stopping.api(user_id=user_id).streamed("Oi", conversation_id="conv_1") as events:
            await shown(events, "Half")
        stopping.process.send_signal(signal.SIGTERM)
        await eventually(lambda: refuses(stopping.client), what="the service takes no connections")
        gate.open()
        await stopping.process.wait()
    async with chat_process(tmp_path, **environment) as successor:
        reply = (await successor.api(user_id=user_id).branch("conv_1"))[-1]
        assert (reply["content"], reply["status"]) == ("Half and half", "completed")
