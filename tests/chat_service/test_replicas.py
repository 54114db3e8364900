"""Three replicas of chat-service as processes on one database: an answer is everybody's, wherever it is written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shared.events import Delta
from shared.ids import new_id
from tests.chat_service.fake_llm import FakeLlm, Gate, done, start
from tests.chat_service.serving import chat_process, served
from tests.tokens import auth_stub


@pytest.fixture
async def environment(database_url: str, llm: FakeLlm) -> AsyncIterator[dict[str, str]]:
    """The settings of processes whose neighbours are in this one."""
    async with served(auth_stub().app) as auth_url, served(llm.app) as llm_url:
        yield {
            "database_url": database_url, "auth_url": auth_url, "llm_url": llm_url, "chat_lease_seconds": "2",
        }  # fmt: skip


async def test_an_answer_is_begun_on_one_resumed_on_another_and_stopped_from_the_third(
    environment: dict[str, str], llm: FakeLlm, tmp_path: Path
) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="One, "), gate, Delta(content="two, "), Gate(), done()])
    async with AsyncExitStack() as stack:
        starting = [chat_process(tmp_path, **environment) for _ in range(3)]
        replicas = await asyncio.gather(*(stack.enter_async_context(each) for each in starting))
        user_id = new_id("usr")
        one, two, three = (replica.api(user_id=user_id) for replica in replicas)
        async with one.streamed("Count", conversation_id="conv_1") as events:
            first = await events.until("start")
            sequence, _, _ = await events.next()
        async with two.events_of(first["generation_id"], after=sequence) as resumed:
            gate.open()
            assert (await resumed.until("delta"))["content"] == "two, "
            stopped = await three.ask("POST", f"generations/{first['generation_id']}/stop")
            last = (await resumed.rest())[-1]
        assert (stopped.json()["status"], stopped.json()["content"]) == ("stopped", "One, two, ")
        assert (last[1], last[2]["finish_reason"]) == ("done", "stopped")
        assert llm.readers_gone == 1
