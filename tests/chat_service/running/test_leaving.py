"""Clients that leave, and clients that read slowly: the answer is written and saved all the same."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from shared.events import Delta
from shared.ids import new_id
from tests.chat_service.api import ChatApi, eventually
from tests.chat_service.conftest import MakeApp
from tests.chat_service.fake_llm import FakeLlm, Gate, done, start
from tests.chat_service.serving import served


@pytest.fixture
async def chat(make_app: MakeApp) -> AsyncIterator[ChatApi]:
    """Over a real socket: leaving is what happens on it."""
    async with served(make_app()) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        yield ChatApi(client, user_id=new_id("usr"))


async def completed(chat: ChatApi, conversation_id: str) -> str:
    """The text of the conversation's answer, when that is completed."""

    async def is_completed() -> bool:
        return bool((await chat.branch(conversation_id))[-1]["status"] == "completed")

    await eventually(is_completed, what="the answer is completed")
    return str((await chat.branch(conversation_id))[-1]["content"])


async def test_who_leaves_in_the_middle_of_a_stream_finds_the_whole_answer_later(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="Before"), gate, Delta(content=" and after"), done()])
    async with chat.streamed("Oi", conversation_id="conv_1") as events:
        await events.until("delta")
    await gate.reached.wait()
    gate.open()
    assert await completed(chat, "conv_1") == "Before and after"
    assert llm.readers_gone == 0


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_who_leaves_before_the_first_word_finds_the_whole_answer_later(
    chat: ChatApi, llm: FakeLlm, stream: bool
) -> None:
    gate = Gate()
    llm.will([gate, start(), Delta(content="Late"), done()])
    sending = asyncio.create_task(chat.send("Oi", conversation_id="conv_1", stream=stream))
    await gate.reached.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    gate.open()
    assert await completed(chat, "conv_1") == "Late"


async def test_a_slow_reader_holds_nothing_back_and_misses_nothing(chat: ChatApi, llm: FakeLlm) -> None:
    pieces = [f"{number:07d}" for number in range(20_000)]
    llm.will([start(), *(Delta(content=piece) for piece in pieces), done()])
    async with chat.streamed("Oi", conversation_id="conv_1") as events:
        await events.until("start")
        await completed(chat, "conv_1")
        shown = await events.rest()
    assert "".join(event["content"] for _, _, event in shown) == "".join(pieces)
    assert [sequence for sequence, _, _ in shown] == list(range(2, len(shown) + 2))


async def test_the_model_is_let_go_when_the_answer_is_complete(chat: ChatApi, llm: FakeLlm) -> None:
    """A model's service that never closes its stream after `done` is not waited for."""
    llm.will([start(), done(), Gate()])
    await chat.say("Oi")

    async def gone() -> bool:
        return llm.readers_gone == 1

    await eventually(gone, what="the stream is closed")
