"""`Idempotency-Key` on a message: one message, one generation, and an answer that can be asked for again."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from shared.database import Sessions
from shared.events import Delta
from shared.ids import new_id
from tests.chat_service.api import ChatApi, EventReader, eventually
from tests.chat_service.conftest import StartChat
from tests.chat_service.fake_llm import FakeLlm, Gate, answer, done, failed, start
from tests.chat_service.serving import chat_process, served
from tests.tokens import auth_stub

CONVERSATION = "conv_1"


def with_key(chat: ChatApi, key: str = "key-1") -> ChatApi:
    keyed = chat.as_user()
    keyed.headers = keyed.headers | {"idempotency-key": key}
    return keyed


async def send(chat: ChatApi, content: str = "Oi", **fields: Any) -> httpx2.Response:
    return await with_key(chat).send(content, conversation_id=CONVERSATION, **fields)


async def stream(chat: ChatApi, content: str = "Oi") -> tuple[httpx2.Response, list[tuple[int, str, dict[str, Any]]]]:
    async with with_key(chat).streamed(content, conversation_id=CONVERSATION) as events:
        return events.response, await events.rest()


async def test_a_replay_is_the_same_answer_and_asks_no_model(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("Olá, ", "mundo"))
    first, again = await send(chat), await send(chat)
    assert first.status_code == 200
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(llm.requests) == 1
    assert len(await chat.branch(CONVERSATION)) == 2


async def test_a_replay_without_a_conversation_begins_no_second_one(chat: ChatApi, llm: FakeLlm) -> None:
    keyed = with_key(chat)
    first, again = await keyed.say("Oi"), await keyed.say("Oi")
    assert again == first
    assert len((await chat.read("conversations"))["data"]) == 1


async def test_a_finished_stream_is_read_again_whole(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("Olá, ", "mundo"))
    _, events = await stream(chat)
    response, again = await stream(chat)
    assert response.headers["idempotency-replayed"] == "true"
    assert [kind for _, kind, _ in again] == ["start", "delta", "usage", "done"]
    assert again[0][2] == events[0][2]
    assert again[1][2]["content"] == "Olá, mundo"
    assert again[-1] == events[-1]
    assert len(llm.requests) == 1


async def test_a_running_stream_is_joined_where_it_runs(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="Olá, "), gate, Delta(content="mundo"), done()])
    first = asyncio.create_task(stream(chat))
    await gate.reached.wait()
    async with with_key(chat).streamed("Oi", conversation_id=CONVERSATION) as events:
        assert events.response.headers["idempotency-replayed"] == "true"
        shown = [await events.next(), await events.next()]
        gate.open()
        shown += await events.rest()
    assert shown == (await first)[1]
    assert len(llm.requests) == 1
    assert len(await chat.branch(CONVERSATION)) == 2


async def test_a_running_answer_is_waited_for_where_it_runs(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([start(), gate, Delta(content="ok"), done()])
    first = asyncio.create_task(send(chat))
    await gate.reached.wait()
    second = asyncio.create_task(send(chat))
    gate.open()
    assert (await second).content == (await first).content
    assert len(llm.requests) == 1


async def test_a_running_answer_of_another_replica_is_waited_for(start_chat: StartChat, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([gate, *answer("ok")])
    async with start_chat() as one, start_chat() as two:
        other = ChatApi(two.client, **one.token)
        first = asyncio.create_task(send(one))
        await gate.reached.wait()
        second = asyncio.create_task(send(other))
        gate.open()
        assert (await second).content == (await first).content
        assert (await second).headers["idempotency-replayed"] == "true"
        assert (await send(other)).content == (await first).content
    assert len(llm.requests) == 1


@pytest.mark.parametrize("fields", [{"conversation_id": CONVERSATION}, {}])
async def test_twenty_at_once_over_two_replicas_send_one_message(
    start_chat: StartChat, llm: FakeLlm, fields: dict[str, str]
) -> None:
    async with start_chat() as one, start_chat() as two:
        replicas = [with_key(one), with_key(ChatApi(two.client, **one.token))]
        answers = await asyncio.gather(*(replicas[number % 2].send("Oi", **fields) for number in range(20)))
        assert {each.status_code for each in answers} <= {200, 409}
        assert {each.json()["code"] for each in answers if each.status_code == 409} <= {"request_running"}
        assert len({each.content for each in answers if each.status_code == 200}) == 1
        [conversation] = (await one.read("conversations"))["data"]
        assert len(await one.branch(conversation["id"])) == 2
    assert len(llm.requests) == 1


async def test_another_body_is_refused_and_sends_nothing(chat: ChatApi, llm: FakeLlm) -> None:
    await send(chat)
    for other in ({"content": "Tchau"}, {"stream": True}):
        response = await send(chat, **{"content": "Oi"} | other)
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert len(llm.requests) == 1


async def test_the_same_key_of_another_user_or_organization_is_another_key(chat: ChatApi, llm: FakeLlm) -> None:
    answers = [
        await send(each)
        for each in (chat, chat.as_user(user_id=new_id("usr")), chat.as_user(organization_id=new_id("org")))
    ]
    assert {each.status_code for each in answers} == {200}
    assert len({each.json()["id"] for each in answers}) == 3
    assert all("idempotency-replayed" not in each.headers for each in answers)
    assert len(llm.requests) == 3


async def test_a_failed_answer_is_told_again_and_not_tried_again(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will([start(), Delta(content="Half"), failed("broke", code="provider_failed", status=502)])
    first, again = await send(chat), await send(chat)
    assert (first.status_code, again.status_code) == (502, 502)
    told = ("code", "detail", "message_id", "generation_id", "conversation_id")
    assert {name: again.json()[name] for name in told} == {name: first.json()[name] for name in told}
    assert again.headers["idempotency-replayed"] == "true"
    assert len(llm.requests) == 1


async def test_a_failed_stream_is_told_again(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will([start(), Delta(content="Half"), failed("broke", code="provider_failed", status=502)])
    _, first = await stream(chat)
    _, again = await stream(chat)
    assert [kind for _, kind, _ in again] == ["start", "delta", "error"]
    assert again[-1][2] == first[-1][2]


async def test_a_refused_message_leaves_its_key_free(chat: ChatApi, llm: FakeLlm) -> None:
    unknown = {"parent_id": new_id("msg")}
    assert (await send(chat, **unknown)).status_code == 404
    assert (await send(chat)).status_code == 200


async def test_what_was_deleted_since_is_not_made_again(chat: ChatApi, llm: FakeLlm, sessions: Sessions) -> None:
    await send(chat)
    async with sessions.begin() as session:
        await session.execute(
            text("DELETE FROM chat.conversations WHERE user_id = :user"), {"user": chat.token["user_id"]}
        )
    assert (await send(chat)).status_code == 404
    assert len(llm.requests) == 1


async def test_after_a_crash_a_retry_finds_the_message_and_what_was_saved_of_its_answer(
    database_url: str, llm: FakeLlm, tmp_path: Path
) -> None:
    """`kill -9` while the answer is written: followed until the lease is over, and told again ever after."""
    llm.will([start(), Delta(content="Half an answer"), Gate(), done()])
    user_id = new_id("usr")
    async with served(auth_stub().app) as auth_url, served(llm.app) as llm_url:
        environment = {
            "database_url": database_url, "auth_url": auth_url, "llm_url": llm_url, "chat_lease_seconds": "2",
        }  # fmt: skip
        async with chat_process(tmp_path, **environment) as successor:
            chat = successor.api(user_id=user_id)
            async with (
                chat_process(tmp_path, **environment) as doomed,
                with_key(doomed.api(user_id=user_id)).streamed("Oi", conversation_id=CONVERSATION) as events,
            ):
                await text_of(events, "Half an answer")
                await eventually(lambda: is_saved(chat, "Half an answer"), what="the checkpoint")
                assert await doomed.end(signal.SIGKILL) == -signal.SIGKILL
                retry = with_key(chat).streamed("Oi", conversation_id=CONVERSATION)
                async with retry as during:
                    followed = await during.rest()
                    assert [kind for _, kind, _ in followed] == ["start", "delta", "error"]
                    assert followed[-1][2]["code"] == "interrupted"

            response, events_again = await stream(chat)
            assert response.headers["idempotency-replayed"] == "true"
            assert [kind for _, kind, _ in events_again] == ["start", "delta", "error"]
            assert events_again == followed
            assert events_again[1][2]["content"] == "Half an answer"
            assert len(await chat.branch(CONVERSATION)) == 2
            assert len(llm.requests) == 1
            assert (await with_key(chat, "key-2").say("Again", conversation_id=CONVERSATION))["status"] == "completed"


async def text_of(events: EventReader, content: str) -> None:
    shown = ""
    while shown != content:
        shown += (await events.next())[2]["content"]


async def is_saved(chat: ChatApi, content: str) -> bool:
    return bool((await chat.branch(CONVERSATION))[-1]["content"] == content)
