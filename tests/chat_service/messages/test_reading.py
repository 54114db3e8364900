"""Reading messages and conversations back, page by page."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.ids import new_id
from shared.pagination import encode_cursor
from tests.chat_service.api import ChatApi, eventually
from tests.chat_service.fake_llm import FakeLlm, Gate, answer


async def pages(chat: ChatApi, path: str, *, limit: int) -> list[list[dict[str, Any]]]:
    found, cursor = [], None
    while True:
        page = await chat.read(path, limit=limit, **({"cursor": cursor} if cursor else {}))
        found.append(page["data"])
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize(("limit", "sizes"), [(1, 6 * [1]), (4, [4, 2]), (6, [6]), (100, [6])])
async def test_a_branch_is_read_in_pages_from_its_end(chat: ChatApi, limit: int, sizes: list[int]) -> None:
    for number in range(3):
        await chat.say(str(number), conversation_id="conv_1")
    found = await pages(chat, "conversations/conv_1/messages", limit=limit)
    assert [len(page) for page in found] == sizes
    assert [m["content"] for page in found for m in page] == ["ok", "2", "ok", "1", "ok", "0"]


async def test_pages_of_a_branch_stay_on_it_while_the_conversation_goes_on(chat: ChatApi) -> None:
    first = await chat.say("1", conversation_id="conv_1")
    await chat.say("2", conversation_id="conv_1")
    page = await chat.read("conversations/conv_1/messages", limit=2)
    await chat.say("another 2", conversation_id="conv_1", parent_id=first["id"])
    rest = await chat.read("conversations/conv_1/messages", limit=2, cursor=page["next_cursor"])
    assert [m["content"] for m in page["data"] + rest["data"]] == ["ok", "2", "ok", "1"]


async def test_conversations_are_listed_by_their_last_message(chat: ChatApi) -> None:
    for number in (1, 2, 3, 1):
        await chat.say("Oi", conversation_id=f"conv_{number}", model=f"model-{number}")
    found = await pages(chat, "conversations", limit=2)
    assert [[c["id"] for c in page] for page in found] == [["conv_1", "conv_3"], ["conv_2"]]
    newest = found[0][0]
    own = {"title", "model", "system_prompt", "settings", "folder", "tags", "pinned", "archived"}
    assert set(newest) == {"id", "leaf_id", "created_at", "updated_at"} | own
    assert newest["model"] == "model-1"
    assert datetime.fromisoformat(newest["created_at"]) < datetime.fromisoformat(newest["updated_at"])
    assert datetime.fromisoformat(newest["updated_at"]).tzinfo == UTC
    assert await chat.read("conversations/conv_1") == newest


async def test_nothing_is_an_empty_page(chat: ChatApi) -> None:
    assert await chat.read("conversations") == {"data": [], "next_cursor": None}


async def test_others_find_nothing(chat: ChatApi) -> None:
    reply = await chat.say("mine", conversation_id="conv_1")
    question = (await chat.branch("conv_1"))[0]
    paths = [f"messages/{reply['id']}", f"messages/{question['id']}", "conversations/conv_1"]
    for other in (chat.as_user(user_id=new_id("usr")), chat.as_user(organization_id=new_id("org"))):
        for path in (*paths, "conversations/conv_1/messages"):
            assert (await other.get(path)).status_code == 404, path
        assert (await other.read("conversations"))["data"] == []


async def test_the_cursor_of_another_opens_nothing(chat: ChatApi) -> None:
    for number in range(2):
        await chat.say(str(number), conversation_id="conv_1")
    cursor = (await chat.read("conversations/conv_1/messages", limit=1))["next_cursor"]
    thief = chat.as_user(user_id=new_id("usr"))
    await thief.say("Oi", conversation_id="conv_1")
    assert (await thief.get("conversations/conv_1/messages", cursor=cursor)).status_code == 400
    await chat.say("Oi", conversation_id="conv_2")
    assert (await chat.get("conversations/conv_2/messages", cursor=cursor)).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "messages/msg_" + "0" * 32,
        "messages/msg_%00",
        "messages/nonsense",
        "messages/%F0%28%8C%28",
        "messages/" + "x" * 4000,
        "conversations/conv_unknown",
        "conversations/conv_%00",
        "conversations/conv_unknown/messages",
        "conversations/%00/messages",
        "conversations/conv_1%0A",
    ],
)
async def test_what_does_not_exist_is_not_found(chat: ChatApi, path: str) -> None:
    response = await chat.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).isoformat()


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "\0",
        "é",
        encode_cursor("msg_\0"),
        encode_cursor("msg_" + "0" * 32),
        encode_cursor("a", "b"),
        encode_cursor(NOW, "\0"),
        encode_cursor(NOW, "not a key"),
        encode_cursor(NOW + "\0", 32 * "0"),
        encode_cursor(NOW, 32 * "0", "more"),
        encode_cursor("0001-01-01T00:00:00+14:00", 32 * "0"),
    ],
)
async def test_a_cursor_that_was_never_given_is_refused(chat: ChatApi, cursor: str) -> None:
    await chat.say("Oi", conversation_id="conv_1")
    for path in ("conversations", "conversations/conv_1/messages"):
        assert (await chat.get(path, cursor=cursor)).status_code == 400, path


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", ""])
async def test_a_limit_out_of_bounds_is_refused(chat: ChatApi, limit: str) -> None:
    for path in ("conversations", "conversations/conv_1/messages"):
        assert (await chat.get(path, limit=limit)).status_code == 422


async def test_a_running_answer_shows_what_was_said_so_far(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([*answer("So far")[:2], gate, *answer("So far")[2:]])
    sending = asyncio.create_task(chat.say("Oi", conversation_id="conv_1"))
    await gate.reached.wait()

    async def is_checkpointed() -> bool:
        return bool((await chat.branch("conv_1"))[1]["content"] == "So far")

    await eventually(is_checkpointed, what="the text is checkpointed")
    running = (await chat.branch("conv_1"))[1]
    assert (running["status"], running["model"], running["provider"]) == ("running", "gpt-4", "fake")
    gate.open()
    await sending
