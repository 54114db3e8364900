"""The database goes away while an answer is being written."""

import asyncio
import time

import pytest

from chat_service.running import runner
from chat_service.running.keeping import SWEEPS_PER_LEASE
from shared.database import Sessions
from shared.events import Delta
from tests.chat_service.conftest import StartChat
from tests.chat_service.fake_llm import FakeLlm, Gate, done, start
from tests.chat_service.running.test_leases import expire
from tests.outage import outage


async def test_an_answer_that_ends_without_a_database_is_saved_when_it_is_back(
    start_chat: StartChat, llm: FakeLlm, database_url: str
) -> None:
    gate, end = Gate(), Gate()
    llm.will([start(), Delta(content="Not"), gate, Delta(content=" lost"), end, done()])
    async with start_chat() as chat, chat.streamed("Oi") as events:
        await gate.reached.wait()
        first = await events.until("start")
        assert (await events.next())[2]["content"] == "Not"
        async with outage(database_url):
            gate.open()
            await end.reached.wait()
            end.open()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(events.next(), 0.5)  # nobody is shown what is not kept
            assert (await chat.send("Meanwhile")).status_code == 503
        # The reader that was cancelled is gone; the answer is not.
        async with chat.events_of(first["generation_id"], after=2) as again:
            shown = await again.rest()
        assert "".join(event["content"] for _, _, event in shown) == " lost"
        assert shown[-1][1] == "done"
        assert (await chat.read(f"messages/{first['id']}"))["content"] == "Not lost"


async def test_an_answer_goes_on_through_an_outage(start_chat: StartChat, llm: FakeLlm, database_url: str) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="a"), gate, Delta(content="b"), done()])
    async with start_chat(chat_lease_seconds=0.5) as chat, chat.streamed("Oi") as events:
        await gate.reached.wait()
        async with outage(database_url):
            await asyncio.sleep(0.3)  # several passes of the keeper fail
        gate.open()
        shown = await events.rest()
    assert "".join(event["content"] for _, _, event in shown) == "ab"
    assert shown[-1][1] == "done"


async def test_an_outage_longer_than_a_lease_ends_no_answer(
    start_chat: StartChat, llm: FakeLlm, database_url: str, sessions: Sessions
) -> None:
    """Every lease is over when the database comes back: who sweeps lets the owners renew theirs first."""
    lease = 4.0
    gate = Gate()
    llm.will([start(), Delta(content="a"), gate, Delta(content="b"), done()])
    async with (
        start_chat(chat_lease_seconds=lease) as chat,
        start_chat(chat_lease_seconds=lease),
        chat.streamed("Oi") as events,
    ):
        message_id = (await events.until("start"))["id"]
        await events.until("delta")
        async with outage(database_url):
            await asyncio.sleep(lease / SWEEPS_PER_LEASE + 0.1)  # a pass of each replica fails
        for _ in range(30):  # as long as the next pass takes to come
            await expire(sessions, message_id)
            await asyncio.sleep(0.02)
        gate.open()
        shown = await events.rest()
    assert ("".join(event["content"] for _, _, event in shown), shown[-1][1]) == ("b", "done")


async def test_what_cannot_be_saved_is_told(
    start_chat: StartChat, llm: FakeLlm, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SAVING", 0.2)
    gate = Gate()
    llm.will([start(), Delta(content="a"), gate, done()])
    async with start_chat() as chat, chat.streamed("Oi") as events:
        await gate.reached.wait()
        async with outage(database_url):
            gate.open()
            last = (await events.rest())[-1]
    assert (last[1], last[2]["code"], last[2]["status"]) == ("error", "answer_not_saved", 503)


async def test_a_service_without_its_database_closes_in_time(
    start_chat: StartChat, llm: FakeLlm, database_url: str
) -> None:
    gate = Gate()
    llm.will([start(), gate])
    async with start_chat() as chat:
        asking = asyncio.create_task(chat.send("Oi"))
        await gate.reached.wait()
        gone = outage(database_url)
        await gone.__aenter__()
        closing = time.monotonic()
    assert time.monotonic() - closing < 2
    await gone.__aexit__(None, None, None)
    assert (await asking).json()["code"] == "answer_not_saved"
