"""The service ends while answers are running."""

import asyncio
import time

import pytest

from shared import drain
from shared.events import Delta
from tests.chat_service.api import eventually
from tests.chat_service.conftest import StartChat
from tests.chat_service.fake_llm import FakeLlm, Gate, done, start


async def test_answers_that_run_when_the_app_closes_are_interrupted_with_their_text(
    start_chat: StartChat, llm: FakeLlm
) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="Half an ans"), gate])
    async with start_chat() as chat:
        whole = asyncio.create_task(chat.send("Oi", conversation_id="conv_1"))

        async def is_half_said() -> bool:
            return bool(await chat.knows("conv_1") and (await chat.branch("conv_1"))[-1]["content"])

        await eventually(is_half_said, what="half of the answer is said")
    refused = await whole
    assert (refused.status_code, refused.json()["code"]) == (503, "interrupted")
    assert refused.headers["retry-after"]
    async with start_chat() as again:
        reply = (await again.as_user(**chat.token).branch("conv_1"))[-1]
    assert (reply["status"], reply["content"]) == ("interrupted", "Half an ans")
    assert reply["error"]["code"] == "interrupted"
    assert llm.readers_gone == 1


async def test_a_draining_service_lets_answers_finish_and_takes_no_new_messages(
    start_chat: StartChat, llm: FakeLlm
) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="Almost"), gate, Delta(content=" done"), done()])
    async with start_chat() as chat, chat.streamed("Oi") as events:
        await gate.reached.wait()
        drain.begin()
        drain.begin()  # a second signal changes nothing
        await asyncio.sleep(0)  # the listener is called in the loop's next turn
        refused = await chat.send("Too late", conversation_id="conv_late")
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await chat.get("conversations/conv_late")).status_code == 404
        gate.open()
        shown = await events.rest()
    assert shown[-1][1] == "done"
    assert "".join(event["content"] for _, _, event in shown) == "Almost done"


async def test_patience_ends(start_chat: StartChat, llm: FakeLlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "PATIENCE", 0.1)
    monkeypatch.setattr(drain, "LAST_WORD", 5)
    gate = Gate()
    llm.will([start(), Delta(content="Half an ans"), gate])
    async with start_chat() as chat, chat.streamed("Oi") as events:
        await gate.reached.wait()
        drain.begin()
        shown = await events.rest()
        assert [kind for _, kind, _ in shown] == ["start", "delta", "error"]
        assert shown[-1][2]["code"] == "interrupted"
        saved = await chat.read(f"messages/{shown[-1][2]['message_id']}")
    assert (saved["status"], saved["content"]) == ("interrupted", "Half an ans")


async def test_a_draining_service_closes_when_its_patience_ends(
    start_chat: StartChat, llm: FakeLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "PATIENCE", 0.3)
    gate = Gate()
    llm.will([start(), Delta(content="a"), gate, Delta(content="b"), done()])
    async with start_chat() as chat:
        sending = asyncio.create_task(chat.say("Oi"))
        await gate.reached.wait()
        drain.begin()
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.1, gate.open)
        closing = time.monotonic()
    assert time.monotonic() - closing < 1
    assert (await sending)["content"] == "ab"
