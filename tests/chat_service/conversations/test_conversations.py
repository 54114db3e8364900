"""Conversations as their owners arrange them."""

from typing import Any

import pytest
from sqlalchemy import text

from shared.database import Sessions
from tests.chat_service.api import ChatApi
from tests.chat_service.fake_llm import FakeLlm


async def made(chat: ChatApi, **fields: Any) -> dict[str, Any]:
    response = await chat.ask("POST", "conversations", fields)
    assert response.status_code == 201, response.text
    conversation: dict[str, Any] = response.json()
    return conversation


async def listed(chat: ChatApi, **query: Any) -> list[str]:
    return [each["id"] for each in (await chat.read("conversations", **query))["data"]]


async def test_a_conversation_is_made_with_what_its_requests_shall_say(chat: ChatApi, llm: FakeLlm) -> None:
    conversation = await made(
        chat,
        title="Viagem",
        model="gpt-4",
        system_prompt="Responda em português.",
        settings={"temperature": 0.2, "max_tokens": 50, "context": {"strategy": "truncate_oldest"}},
    )
    await chat.say("Oi", conversation_id=conversation["id"])
    assert llm.requests[0] == {
        "model": "gpt-4",
        "stream": True,
        "temperature": 0.2,
        "max_tokens": 50,
        "context": {"strategy": "truncate_oldest"},
        "messages": [
            {"role": "system", "content": "Responda em português."},
            {"role": "user", "content": "Oi"},
        ],
    }
    assert await chat.read(f"conversations/{conversation['id']}") == conversation | {
        name: (await chat.read(f"conversations/{conversation['id']}"))[name] for name in ("leaf_id", "updated_at")
    }


async def test_what_is_named_is_changed_and_null_takes_away(chat: ChatApi) -> None:
    conversation = await made(chat, id="conv_1", title="a", folder="f", tags=["x"])
    changed = await chat.ask("PATCH", "conversations/conv_1", {"title": None, "tags": ["y", "z"], "pinned": True})
    assert changed.json() == conversation | {"title": None, "tags": ["y", "z"], "pinned": True}
    assert await chat.read("conversations/conv_1") == changed.json()
    assert (await chat.ask("PATCH", "conversations/conv_1", {})).json() == changed.json()


async def test_lists_are_filtered(chat: ChatApi) -> None:
    await made(chat, id="conv_a", folder="work", tags=["x", "y"])
    await made(chat, id="conv_b", folder="work", pinned=True)
    await made(chat, id="conv_c", archived=True, tags=["x"])
    assert await listed(chat) == ["conv_b", "conv_a"]
    assert await listed(chat, archived=True) == ["conv_c"]
    assert await listed(chat, folder="work", pinned=True) == ["conv_b"]
    assert await listed(chat, pinned=False) == ["conv_a"]
    assert await listed(chat, tag="x") == ["conv_a"]
    assert await listed(chat, folder="elsewhere") == []


async def test_an_id_is_taken_once(chat: ChatApi) -> None:
    await made(chat, id="conv_1")
    again = await chat.ask("POST", "conversations", {"id": "conv_1"})
    assert (again.status_code, again.json()["code"]) == (409, "conversation_exists")


@pytest.mark.parametrize(
    "fields",
    [
        {"title": ""},
        {"title": "a\0b"},
        {"tags": ["x"] * 21},
        {"tags": None},
        {"settings": {"tools": []}},
        {"settings": {"temperature": 3}},
        {"user_id": "usr_x"},
        {"id": "nonsense"},
    ],
)
async def test_what_cannot_be_kept_is_refused(chat: ChatApi, fields: dict[str, Any]) -> None:
    assert (await chat.ask("POST", "conversations", fields)).status_code == 422


@pytest.mark.parametrize("leaf_id", ["nonsense", "msg_" + "0" * 32])
async def test_an_unknown_branch_is_not_found(chat: ChatApi, leaf_id: str) -> None:
    await made(chat, id="conv_1")
    assert (await chat.ask("PATCH", "conversations/conv_1", {"leaf_id": leaf_id})).status_code == 404


async def test_deleted_means_gone(chat: ChatApi, sessions: Sessions) -> None:
    await chat.say("a very secret word", conversation_id="conv_1")
    await chat.say("kept", conversation_id="conv_2")
    assert (await chat.ask("DELETE", "conversations/conv_1")).status_code == 204
    assert (await chat.get("conversations/conv_1")).status_code == 404
    assert (await chat.ask("DELETE", "conversations/conv_1")).status_code == 404
    assert await listed(chat) == ["conv_2"]
    async with sessions() as session:
        names = await session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'chat'"))
        for name in names.all():
            found = text(f"SELECT count(*) FROM chat.{name} t WHERE to_jsonb(t)::text LIKE '%a very secret word%'")
            assert await session.scalar(found) == 0, name
