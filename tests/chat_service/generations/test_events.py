"""Reading a generation's events: from any sequence, at any replica, by any number of readers."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from shared.database import Sessions
from shared.events import Delta, Reasoning, ToolCall
from shared.ids import new_id
from tests.chat_service.api import ChatApi, eventually
from tests.chat_service.conftest import StartChat
from tests.chat_service.fake_llm import FakeLlm, Gate, Step, answer, done, failed, start

Events = list[tuple[int, str, dict[str, Any]]]


def text_of(events: Events) -> str:
    return "".join(event["content"] for _, _, event in events)


async def all_of(chat: ChatApi, generation_id: str, **where: Any) -> Events:
    async with chat.events_of(generation_id, **where) as events:
        return await events.rest()


async def rows_of(sessions: Sessions, generation_id: str) -> list[Any]:
    async with sessions() as session:
        query = text("SELECT sequence, type, data FROM chat.events WHERE generation_id = :id ORDER BY sequence")
        return list(await session.execute(query, {"id": generation_id}))


@pytest.mark.parametrize("elsewhere", [False, True], ids=["its replica", "another replica"])
async def test_many_readers_from_many_places_see_the_same(start_chat: StartChat, llm: FakeLlm, elsewhere: bool) -> None:
    gates = [Gate(), Gate()]
    llm.will([start(), Delta(content="a"), gates[0], Delta(content="b"), gates[1], Delta(content="c"), done()])
    async with start_chat() as chat, start_chat() as two:
        other = two.as_user(**chat.token) if elsewhere else chat
        async with chat.streamed("Oi") as events:
            shown = [await events.next(), await events.next()]
            generation_id = shown[0][2]["generation_id"]
            readers = [asyncio.create_task(all_of(other, generation_id, after=after)) for after in (0, 0, 1, 2)]
            gates[0].open()
            shown.append(await events.next())
            readers.append(asyncio.create_task(all_of(other, generation_id, after=3)))
            gates[1].open()
            shown += await events.rest()
        read = [await reader for reader in readers]
    assert text_of(shown) == "abc"
    for after, each in zip((0, 0, 1, 2, 3), read, strict=True):
        assert text_of(each) == "abc"[max(after - 1, 0) :]
        assert [kind for _, kind, _ in each].count("done") == 1
        assert each[-1] == shown[-1]
        assert each[0][0] > after
    assert len(llm.requests) == 1


async def test_a_reader_elsewhere_is_told_within_moments(start_chat: StartChat, llm: FakeLlm) -> None:
    """By NOTIFY: the next look without one would come after two seconds."""
    gates = [Gate() for _ in range(5)]
    script: list[Step] = [start(), Delta(content="a")]
    for gate in gates:
        script += [gate, Delta(content="b")]
    llm.will([*script, done()])
    async with start_chat() as chat, start_chat() as two, chat.streamed("Oi") as events:
        generation_id = (await events.until("start"))["generation_id"]
        await events.until("delta")
        async with two.as_user(**chat.token).events_of(generation_id, after=2) as elsewhere:
            began = asyncio.get_running_loop().time()
            for gate in gates:
                gate.open()
                await elsewhere.until("delta")
            await elsewhere.until("done")
    assert asyncio.get_running_loop().time() - began < 4  # and five looks take ten


async def test_what_is_shown_is_committed(chat: ChatApi, llm: FakeLlm, sessions: Sessions) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="kept"), gate, done()])
    async with chat.streamed("Oi") as events:
        shown = [await events.next(), await events.next()]
        rows = await rows_of(sessions, shown[0][2]["generation_id"])
        assert [(row.sequence, row.type) for row in rows] == [(n, kind) for n, kind, _ in shown]
        gate.open()
        await events.rest()
    assert await rows_of(sessions, shown[0][2]["generation_id"]) == []  # the message has it all now


@pytest.mark.parametrize(
    "end",
    [[done()], [failed("Overloaded.", code="overloaded", status=529)]],
    ids=["done", "error"],
)
async def test_after_any_sequence_of_a_finished_answer_comes_exactly_the_rest(
    chat: ChatApi, llm: FakeLlm, end: list[Step]
) -> None:
    gates = [Gate() for _ in range(3)]
    call = ToolCall(id="call_1", name="clock", arguments="{}")
    llm.will(
        [
            start(),
            Reasoning(reasoning="Hm."),
            Delta(content="Olá"),
            gates[0],
            Delta(content=" 🇧🇷"),
            call,
            gates[1],
            Delta(content="!"),
            gates[2],
            *end,
        ]
    )
    async with chat.streamed("Oi") as events:
        shown: Events = []
        for gate in gates:
            await gate.reached.wait()
            while not shown or shown[-1][1] != "delta":
                shown.append(await events.next())
            gate.open()
            shown.append(await events.next())
        shown += await events.rest()
    generation_id = shown[0][2]["generation_id"]
    for after in range(shown[-1][0]):
        rest = await all_of(chat, generation_id, after=after)
        missing = [event for event in shown if event[0] > after]
        assert text_of(rest) == text_of(missing)
        assert rest[-1] == missing[-1]
        assert [event for event in rest if event[1] == "tool_call"] == [e for e in missing if e[1] == "tool_call"]
        assert "".join(e["reasoning"] for _, _, e in rest if "reasoning" in e) == "".join(
            e["reasoning"] for _, _, e in missing if "reasoning" in e
        )


async def test_an_answer_from_before_there_were_trails_is_told_whole(
    chat: ChatApi, llm: FakeLlm, sessions: Sessions
) -> None:
    llm.will(answer("Olá, ", "mundo"))
    message = await chat.say("Oi")
    async with sessions.begin() as session:
        await session.execute(text("UPDATE chat.messages SET trail = NULL WHERE id = :id"), {"id": message["id"]})
    events = await all_of(chat, message["generation_id"])
    assert [(sequence, kind) for sequence, kind, _ in events] == [(1, "start"), (2, "delta"), (3, "done")]
    assert text_of(events) == "Olá, mundo"
    assert await all_of(chat, message["generation_id"], after=2) == events[2:]


async def test_who_has_seen_the_end_is_told_that_nothing_follows(chat: ChatApi, llm: FakeLlm) -> None:
    """204, on which a browser's EventSource comes back no more."""
    async with chat.streamed("Oi") as events:
        last, _, end = (await events.rest())[-1]
    for seen in (last, last + 1, 2**31 - 1):
        async with chat.events_of(end["generation_id"], after=seen) as nothing:
            assert nothing.response.status_code == 204


async def test_the_header_of_a_browser_that_comes_back_counts(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("ok"))
    async with chat.streamed("Oi") as events:
        shown = await events.rest()
    generation_id = shown[0][2]["generation_id"]
    assert text_of(await all_of(chat, generation_id, last_event_id="1")) == "ok"
    assert text_of(await all_of(chat, generation_id, after=1, last_event_id="2")) == ""


@pytest.mark.parametrize("where", [{"after": -1}, {"after": 2**31}, {"last_event_id": "x"}])
async def test_a_place_that_cannot_be_is_refused(chat: ChatApi, where: dict[str, Any]) -> None:
    message = await chat.say("Oi")
    async with chat.events_of(message["generation_id"], **where) as refused:
        assert refused.response.status_code == 422


async def test_an_answer_that_failed_before_its_first_word_is_one_error(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will([failed("Down.", code="unavailable", status=503)])
    problem = (await chat.send("Oi")).json()
    [(sequence, kind, event)] = await all_of(chat, problem["generation_id"])
    assert (sequence, kind, event["code"], event["status"]) == (1, "error", "unavailable", 503)


async def test_a_reader_who_leaves_changes_nothing(start_chat: StartChat, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="a"), gate, Delta(content="b"), done()])
    async with start_chat() as chat, start_chat() as two:
        async with chat.streamed("Oi") as events:
            first = await events.until("start")
            await events.until("delta")
        async with two.as_user(**chat.token).events_of(first["generation_id"]) as elsewhere:
            await elsewhere.until("delta")
        gate.open()
        assert text_of(await all_of(chat, first["generation_id"])) == "ab"
        assert llm.readers_gone == 0


async def test_a_deleted_answer_ends_for_readers_everywhere(start_chat: StartChat, llm: FakeLlm) -> None:
    llm.will([start(), Delta(content="a"), Gate()])
    async with start_chat() as chat, start_chat() as two, chat.streamed("Oi", conversation_id="conv_1") as events:
        first = await events.until("start")
        await events.until("delta")
        other = two.as_user(**chat.token)
        async with other.events_of(first["generation_id"]) as elsewhere:
            await elsewhere.until("delta")
            assert (await other.ask("DELETE", "conversations/conv_1")).status_code == 204
            assert (await elsewhere.rest())[-1][2]["code"] == "message_deleted"
        assert (await events.rest())[-1][2]["code"] == "message_deleted"

        async def is_let_go() -> bool:
            return llm.readers_gone == 1

        await eventually(is_let_go, what="the model is let go")
        assert (await chat.get(f"generations/{first['generation_id']}/events")).status_code == 404


@pytest.mark.parametrize("running", [True, False])
async def test_others_find_no_generation(start_chat: StartChat, llm: FakeLlm, running: bool) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="secret"), gate, done()])
    if not running:
        gate.open()
    async with start_chat() as chat, start_chat() as two, chat.streamed("Oi") as events:
        generation_id = (await events.until("start"))["generation_id"]
        if not running:
            await events.rest()
        for replica in (chat, two):
            for stranger in ({"user_id": new_id("usr")}, {"organization_id": new_id("org")}):
                other = replica.as_user(**chat.token | stranger)
                refused = [
                    await other.get(f"generations/{generation_id}/events"),
                    await other.ask("POST", f"generations/{generation_id}/stop"),
                ]
                assert [each.status_code for each in refused] == [404, 404]
                assert {each.json()["code"] for each in refused} == {"generation_not_found"}
        gate.open()
        assert (await chat.read(f"messages/{(await all_of(chat, generation_id))[-1][2]['message_id']}"))["content"]


@pytest.mark.parametrize("generation_id", ["nonsense", "gen_" + "0" * 32, "gen_%00", "%F0%28", "gen_" + "g" * 32])
async def test_an_unknown_generation_is_not_found(chat: ChatApi, generation_id: str) -> None:
    assert (await chat.get(f"generations/{generation_id}/events")).status_code == 404
    assert (await chat.ask("POST", f"generations/{generation_id}/stop")).status_code == 404
