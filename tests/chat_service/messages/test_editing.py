"""Regenerate, edit, continue, delete, and switching between the branches that they make."""

import asyncio
from itertools import islice
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from shared.database import Sessions
from shared.events import Delta
from shared.ids import new_id
from tests.chat_service.api import ChatApi
from tests.chat_service.fake_llm import Cut, FakeLlm, Gate, Step, answer, done, start


async def done_to(chat: ChatApi, message: dict[str, Any], what: str, **body: Any) -> dict[str, Any]:
    response = await chat.ask("POST", f"messages/{message['id']}/{what}", body)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


async def contents(chat: ChatApi, conversation_id: str = "conv_1") -> list[str]:
    return [message["content"] for message in await chat.branch(conversation_id)]


async def switch(chat: ChatApi, message: dict[str, Any]) -> httpx2.Response:
    return await chat.ask("PATCH", "conversations/conv_1", {"leaf_id": message["id"]})


async def test_an_answer_is_generated_once_more_beside_the_first(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("one"), answer("another"))
    first = await chat.say("1?", conversation_id="conv_1", model="gpt-4")
    second = await done_to(chat, first, "regenerate", model="other")
    assert second["parent_id"] == first["parent_id"]
    assert await contents(chat) == ["1?", "another"]
    assert llm.requests[1]["messages"] == llm.requests[0]["messages"]
    assert llm.requests[1]["model"] == "other"
    versions = await chat.read(f"messages/{first['id']}/siblings")
    assert [each["id"] for each in versions["data"]] == [first["id"], second["id"]]


async def test_a_question_is_answered_once_more(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("one"), answer("another"))
    await chat.say("1?", conversation_id="conv_1")
    question = (await chat.branch("conv_1"))[0]
    assert (await done_to(chat, question, "regenerate"))["parent_id"] == question["id"]
    assert await contents(chat) == ["1?", "another"]


async def test_an_edited_question_begins_a_branch_also_at_the_root(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("one"), answer("two"), answer("other two"), answer("other one"))
    await chat.say("1?", conversation_id="conv_1")
    await chat.say("2?", conversation_id="conv_1")
    root, _, second, _ = await chat.branch("conv_1")
    await done_to(chat, second, "edit", content="other 2?")
    assert await contents(chat) == ["1?", "one", "other 2?", "other two"]
    await done_to(chat, root, "edit", content="other 1?")
    assert await contents(chat) == ["other 1?", "other one"]
    assert [message["content"] for message in llm.requests[-1]["messages"]] == ["other 1?"]
    versions = await chat.read(f"messages/{root['id']}/siblings", limit=1)
    rest = await chat.read(f"messages/{root['id']}/siblings", cursor=versions["next_cursor"])
    assert [each["content"] for each in versions["data"] + rest["data"]] == ["1?", "other 1?"]


async def test_switching_shows_a_branch_up_to_what_was_last_said_there(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("one"), answer("two"), answer("other one"))
    first = await chat.say("1?", conversation_id="conv_1")
    await chat.say("2?", conversation_id="conv_1")
    await done_to(chat, first, "regenerate")
    assert await contents(chat) == ["1?", "other one"]
    assert (await switch(chat, first)).status_code == 200
    assert await contents(chat) == ["1?", "one", "2?", "two"]
    await chat.say("3?", conversation_id="conv_1")
    assert [m["content"] for m in llm.requests[-1]["messages"]] == ["1?", "one", "2?", "two", "3?"]


@pytest.mark.parametrize("cut", ["stopped", "failed", "length"])
async def test_a_cut_answer_is_continued_by_a_message_that_follows(chat: ChatApi, llm: FakeLlm, cut: str) -> None:
    ends: dict[str, Step] = {"stopped": Gate(), "failed": Cut(), "length": done(finish_reason="length")}
    llm.will([start(), Delta(content="Half an "), ends[cut]], answer("answer"), answer("ok"))
    async with chat.streamed("Oi", conversation_id="conv_1") as events:
        first = await events.until("start")
        await events.until("delta")
        if cut == "stopped":
            await chat.ask("POST", f"generations/{first['generation_id']}/stop")
        await events.rest()
    rest = await done_to(chat, first, "continue")
    assert (rest["content"], rest["parent_id"]) == ("answer", first["id"])
    assert await contents(chat) == ["Oi", "Half an ", "answer"]
    asked = llm.requests[1]["messages"]
    assert asked[:2] == [{"role": "user", "content": "Oi"}, {"role": "assistant", "content": "Half an "}]
    assert (len(asked), asked[2]["role"]) == (3, "user")
    await chat.say("Thanks", conversation_id="conv_1")
    assert [m["content"] for m in llm.requests[2]["messages"]] == ["Oi", "Half an answer", "Thanks"]


async def test_what_is_whole_or_empty_or_a_question_is_not_continued(chat: ChatApi, llm: FakeLlm) -> None:
    whole = await chat.say("Oi", conversation_id="conv_1")
    question = (await chat.branch("conv_1"))[0]
    llm.will([Cut()])
    empty = (await chat.send("Oi", conversation_id="conv_1")).json()["message_id"]
    for message_id in (whole["id"], question["id"], empty):
        response = await chat.ask("POST", f"messages/{message_id}/continue", {})
        assert (response.status_code, response.json()["code"]) == (409, "nothing_to_continue")


async def test_an_answer_is_not_edited(chat: ChatApi) -> None:
    message = await chat.say("Oi")
    response = await chat.ask("POST", f"messages/{message['id']}/edit", {"content": "I said otherwise"})
    assert (response.status_code, response.json()["code"]) == (409, "message_not_editable")


async def test_a_streamed_regeneration_with_a_key_is_found_again(chat: ChatApi, llm: FakeLlm) -> None:
    message = await chat.say("Oi", conversation_id="conv_1")
    chat.headers = chat.headers | {"idempotency-key": "again"}
    both = [await done_to(chat, message, "regenerate") for _ in range(2)]
    assert both[0] == both[1]
    assert len(llm.requests) == 2


@pytest.mark.parametrize("what", ["regenerate", "edit", "continue"])
async def test_a_conversation_that_is_being_answered_takes_nothing_else(chat: ChatApi, llm: FakeLlm, what: str) -> None:
    llm.will([start(), Delta(content="Half"), Cut()])
    await chat.send("Oi", conversation_id="conv_1")
    question, cut = await chat.branch("conv_1")
    gate = Gate()
    llm.will([start(), gate, done()])
    async with chat.streamed("Again", conversation_id="conv_1") as events:
        await gate.reached.wait()
        message, body = (question, {"content": "x"}) if what == "edit" else (cut, {})
        response = await chat.ask("POST", f"messages/{message['id']}/{what}", body)
        assert (response.status_code, response.json()["code"]) == (409, "generation_running")
        gate.open()
        await events.rest()


async def test_a_deleted_message_goes_with_all_that_follows(chat: ChatApi, llm: FakeLlm, sessions: Sessions) -> None:
    llm.will(answer("one"), answer("two"), answer("other two"), answer("three"))
    await chat.say("1?", conversation_id="conv_1")
    await chat.say("2?", conversation_id="conv_1")
    second = (await chat.branch("conv_1"))[2]
    await done_to(chat, second, "edit", content="other 2?")
    other = (await chat.branch("conv_1"))[2]
    await chat.say("3?", conversation_id="conv_1")
    assert (await chat.ask("DELETE", f"messages/{other['id']}")).status_code == 204
    assert await contents(chat) == ["1?", "one"]
    assert (await switch(chat, second)).status_code == 200
    assert await contents(chat) == ["1?", "one", "2?", "two"]
    async with sessions() as session:
        rows = await session.execute(
            text("SELECT m.content FROM chat.messages m JOIN chat.conversations c ON c.key = m.conversation_key "
                 "WHERE c.user_id = :user ORDER BY m.id"),
            {"user": chat.token["user_id"]},
        )  # fmt: skip
        assert [row.content for row in rows] == ["1?", "one", "2?", "two"]


async def test_an_answer_that_is_deleted_while_it_is_written_ends(
    chat: ChatApi, llm: FakeLlm, sessions: Sessions
) -> None:
    llm.will([start(), Delta(content="a"), Gate()])
    async with chat.streamed("Oi", conversation_id="conv_1") as events:
        first = await events.until("start")
        await events.until("delta")
        assert (await chat.ask("DELETE", f"messages/{first['id']}")).status_code == 204
        assert (await events.rest())[-1][2]["code"] == "message_deleted"
    assert await contents(chat) == ["Oi"]
    assert (await chat.say("And?", conversation_id="conv_1"))["content"] == "ok"
    async with sessions() as session:
        left = text("SELECT count(*) FROM chat.events WHERE generation_id = :id")
        assert await session.scalar(left, {"id": first["generation_id"]}) == 0


async def test_an_answer_is_rated(chat: ChatApi) -> None:
    message = await chat.say("Oi")
    path = f"messages/{message['id']}"
    assert (await chat.ask("PUT", f"{path}/feedback", {"rating": "good", "comment": "é"})).status_code == 204
    assert (await chat.read(path))["feedback"] == {"rating": "good", "comment": "é"}
    assert (await chat.ask("DELETE", f"{path}/feedback")).status_code == 204
    assert (await chat.read(path))["feedback"] is None


async def test_others_change_nothing(chat: ChatApi, llm: FakeLlm) -> None:
    reply = await chat.say("mine", conversation_id="conv_1")
    question = (await chat.branch("conv_1"))[0]
    before = await chat.branch("conv_1")
    calls: list[tuple[str, str, Any]] = [
        ("POST", f"messages/{reply['id']}/regenerate", {}),
        ("POST", f"messages/{reply['id']}/continue", {}),
        ("POST", f"messages/{question['id']}/edit", {"content": "yours"}),
        ("PUT", f"messages/{reply['id']}/feedback", {"rating": "bad"}),
        ("DELETE", f"messages/{reply['id']}/feedback", None),
        ("GET", f"messages/{reply['id']}/siblings", None),
        ("DELETE", f"messages/{question['id']}", None),
        ("PATCH", "conversations/conv_1", {"title": "yours"}),
        ("DELETE", "conversations/conv_1", None),
    ]
    for other in (chat.as_user(user_id=new_id("usr")), chat.as_user(organization_id=new_id("org"))):
        for method, path, body in calls:
            assert (await other.ask(method, path, body)).status_code == 404, path
    assert await chat.branch("conv_1") == before
    assert len(llm.requests) == 1
    stranger = chat.as_user(user_id=new_id("usr"))
    await stranger.say("Oi", conversation_id="conv_1")
    assert (await switch(stranger, reply)).status_code == 404


async def test_two_regenerations_at_once_are_one(chat: ChatApi, llm: FakeLlm) -> None:
    message = await chat.say("Oi", conversation_id="conv_1")
    gate = Gate()
    llm.will([gate, *answer("once")])
    asking = [asyncio.create_task(chat.ask("POST", f"messages/{message['id']}/regenerate", {})) for _ in range(4)]
    await gate.reached.wait()
    refused = [(await each).status_code for each in islice(asyncio.as_completed(asking), 3)]
    assert refused == [409] * 3
    gate.open()
    assert sorted([(await each).status_code for each in asking]) == [200, 409, 409, 409]
