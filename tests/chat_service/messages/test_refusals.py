"""Bad input, and callers who may not."""

from typing import Any

import pytest

from shared.events import Delta
from shared.ids import new_id
from tests.chat_service.api import ChatApi
from tests.chat_service.fake_llm import FakeLlm, Gate, answer, done, start

LONGEST = 200_000


async def test_a_caller_without_a_token_is_refused(chat: ChatApi, llm: FakeLlm) -> None:
    response = await chat.client.post("/api/chat/messages", json={"content": "Oi"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert llm.requests == []


@pytest.mark.parametrize(("scopes", "wanted"), [("chat:read", "chat:write"), ("llm:invoke", "chat:write")])
async def test_sending_needs_its_scope(chat: ChatApi, llm: FakeLlm, scopes: str, wanted: str) -> None:
    response = await chat.as_user(scopes=scopes).send("Oi")
    assert (response.status_code, response.json()["required_scope"]) == (403, wanted)
    assert llm.requests == []


@pytest.mark.parametrize("path", ["messages/msg_1", "conversations", "conversations/conv_1/messages"])
async def test_reading_needs_its_scope(chat: ChatApi, path: str) -> None:
    assert (await chat.as_user(scopes="chat:write").get(path)).json()["required_scope"] == "chat:read"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no content"),
        pytest.param({"content": ""}, id="empty"),
        pytest.param({"content": None}, id="null"),
        pytest.param({"content": 5}, id="number"),
        pytest.param({"content": ["Oi"]}, id="list"),
        pytest.param({"content": "a\0b"}, id="NUL"),
        pytest.param({"content": "x" * (LONGEST + 1)}, id="too long"),
        pytest.param({"content": "Oi", "stream": "true"}, id="stream as text"),
        pytest.param({"content": "Oi", "stream": 1}, id="stream as number"),
        pytest.param({"content": "Oi", "model": ""}, id="empty model"),
        pytest.param({"content": "Oi", "model": 4}, id="model as number"),
        pytest.param({"content": "Oi", "model": "gpt\0"}, id="NUL in model"),
        pytest.param({"content": "Oi", "parent_id": 7}, id="parent as number"),
        pytest.param({"content": "Oi", "parent_id": "msg_\0"}, id="NUL in parent"),
        pytest.param({"content": "Oi", "attachments": []}, id="unknown field"),
        pytest.param({"content": "Oi", "a\0b": 1}, id="unknown field with NUL"),
        pytest.param([], id="not an object"),
        pytest.param("Oi", id="bare text"),
    ],
)
async def test_a_body_of_the_wrong_shape_is_refused(chat: ChatApi, llm: FakeLlm, body: Any) -> None:
    response = await chat.post(body)
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"]
    assert llm.requests == []


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"content": "\ud800"}',
        rb'{"content": "Oi", "model": "\ud800"}',
        rb'{"content": "Oi", "conversation_id": "conv_\ud800"}',
        rb'{"content": "Oi", "parent_id": "\udfff"}',
        rb'{"content": "Oi", "\ud800": 1}',
    ],
)
async def test_half_a_surrogate_pair_is_refused(chat: ChatApi, raw: bytes) -> None:
    headers = chat.headers | {"content-type": "application/json"}
    response = await chat.client.post("/api/chat/messages", content=raw, headers=headers)
    assert response.status_code == 422, response.text


@pytest.mark.parametrize("raw", [b"", b"{", b'{"content": "Oi"', b"\xff\xfe", b'{"content": "\xff"}'])
async def test_what_is_not_json_is_refused(chat: ChatApi, raw: bytes) -> None:
    headers = chat.headers | {"content-type": "application/json"}
    response = await chat.client.post("/api/chat/messages", content=raw, headers=headers)
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "conversation_id",
    ["", "conv_", "123", "CONV_1", "conv_a b", "conv_é", "conv_1\n", "conv_1/2", "conv_" + "x" * 65, "msg_1", 5],
)
async def test_a_conversation_id_of_another_form_is_refused(chat: ChatApi, conversation_id: Any) -> None:
    response = await chat.send("Oi", conversation_id=conversation_id)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/conversation_id"


@pytest.mark.parametrize("conversation_id", ["conv_" + "x" * 64, "conv_A-z_09", "conv_-"])
async def test_a_conversation_id_of_the_right_form_is_taken(chat: ChatApi, conversation_id: str) -> None:
    assert (await chat.say("Oi", conversation_id=conversation_id))["conversation_id"] == conversation_id


@pytest.mark.parametrize(
    "content",
    [
        "👩‍👩‍👧‍👦 Olá, açaí",
        " ",
        "a" * LONGEST,
        "😀" * LONGEST,
        '"; DROP TABLE chat.messages; --',
        "\u2028\r\n\t\\u0000",
    ],
)
async def test_content_comes_back_as_it_was_sent(chat: ChatApi, llm: FakeLlm, content: str) -> None:
    llm.will(answer(content[:1000]))
    reply = await chat.say(content, conversation_id="conv_1")
    assert llm.requests[-1]["messages"][-1]["content"] == content
    question, saved = await chat.branch("conv_1")
    assert question["content"] == content
    assert saved["content"] == reply["content"] == content[:1000]


@pytest.mark.parametrize("parent_id", ["msg_" + "0" * 32, "nonsense", "", "uq_generations_running"])
async def test_an_unknown_parent_is_not_found_and_leaves_nothing(chat: ChatApi, llm: FakeLlm, parent_id: str) -> None:
    response = await chat.send("Oi", conversation_id="conv_1", parent_id=parent_id)
    assert (response.status_code, response.json()["code"]) == (404, "message_not_found")
    assert (await chat.get("conversations/conv_1")).status_code == 404
    assert llm.requests == []


async def test_a_parent_of_another_conversation_is_not_found(chat: ChatApi) -> None:
    other = await chat.say("Oi", conversation_id="conv_other")
    await chat.say("Oi", conversation_id="conv_1")
    assert (await chat.send("Oi", conversation_id="conv_1", parent_id=other["id"])).status_code == 404


async def test_a_parent_of_another_user_is_not_found(chat: ChatApi) -> None:
    secret = await chat.as_user(user_id=new_id("usr")).say("mine", conversation_id="conv_1")
    assert (await chat.send("Oi", conversation_id="conv_1", parent_id=secret["id"])).status_code == 404


async def test_users_with_the_same_conversation_id_do_not_meet(chat: ChatApi, llm: FakeLlm) -> None:
    colleague = chat.as_user(user_id=new_id("usr"))
    elsewhere = chat.as_user(organization_id=new_id("org"))
    for number, who in enumerate((chat, colleague, elsewhere)):
        await who.say(f"I am {number}", conversation_id="conv_1")
    for number, who in enumerate((chat, colleague, elsewhere)):
        assert [m["content"] for m in await who.branch("conv_1")] == [f"I am {number}", "ok"]
        assert [m["content"] for m in llm.requests[number]["messages"]] == [f"I am {number}"]


async def test_a_conversation_that_is_being_answered_takes_no_other_message(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="first"), gate, done()])
    async with chat.streamed("1?", conversation_id="conv_1") as events:
        response = await chat.send("2?", conversation_id="conv_1")
        assert (response.status_code, response.json()["code"]) == (409, "generation_running")
        await chat.say("elsewhere", conversation_id="conv_2")
        gate.open()
        await events.until("done")
    await chat.say("2?", conversation_id="conv_1")
    assert [m["content"] for m in await chat.branch("conv_1")] == ["1?", "first", "2?", "ok"]
