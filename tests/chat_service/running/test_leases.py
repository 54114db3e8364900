"""Whose generation it is, and what becomes of it when its replica is silent.

A replica that stops without a word is played by writing into the database: in one process none can die alone.
"""

import asyncio
from typing import Any

from sqlalchemy import text

from chat_service.running.keeping import end_orphans
from shared.database import Sessions
from shared.events import Delta
from tests.chat_service.api import ChatApi, eventually
from tests.chat_service.conftest import StartChat
from tests.chat_service.fake_llm import FakeLlm, Gate, done, start

SHORT = 1
LONG = 600


async def expire(sessions: Sessions, message_id: str) -> None:
    async with sessions.begin() as session:
        await session.execute(
            text("UPDATE chat.generations SET lease_expires_at = now() - interval '1 s' WHERE message_id = :id"),
            {"id": message_id},
        )


async def take_for_dead(sessions: Sessions, message_id: str) -> None:
    """What another replica does when the lease has run out."""
    await expire(sessions, message_id)
    async with sessions.begin() as session:
        await end_orphans(session)


async def generation_of(sessions: Sessions, message_id: str) -> Any:
    async with sessions() as session:
        found = await session.execute(
            text("SELECT *, now() - created_at AS age FROM chat.generations WHERE message_id = :id"), {"id": message_id}
        )
        return found.one()


async def test_a_silent_generation_keeps_its_lease(start_chat: StartChat, llm: FakeLlm, sessions: Sessions) -> None:
    gate = Gate()
    llm.will([start(), gate, Delta(content="At last"), done()])
    async with start_chat(chat_lease_seconds=SHORT) as chat, start_chat(chat_lease_seconds=SHORT):
        async with chat.streamed("Oi") as events:
            message_id = (await events.until("start"))["id"]

            async def is_old() -> bool:
                return bool((await generation_of(sessions, message_id)).age.total_seconds() > 3 * SHORT)

            await eventually(is_old, what="three leases pass")
            gate.open()
            await events.until("done")
        assert (await chat.read(f"messages/{message_id}"))["content"] == "At last"
        assert (await generation_of(sessions, message_id)).status == "completed"


async def test_an_orphan_is_interrupted_with_the_text_so_far(
    start_chat: StartChat, llm: FakeLlm, sessions: Sessions
) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="So far"), gate])
    async with start_chat(chat_lease_seconds=LONG) as dead:
        asking = asyncio.create_task(dead.send("Oi", conversation_id="conv_1"))
        await gate.reached.wait()

        async def is_checkpointed() -> bool:
            return bool((await dead.branch("conv_1"))[-1]["content"])

        await eventually(is_checkpointed, what="the text is checkpointed")
        reply = (await dead.branch("conv_1"))[-1]
        await expire(sessions, reply["id"])
        async with start_chat(chat_lease_seconds=SHORT) as other:
            reader = other.as_user(**dead.token)

            async def is_interrupted() -> bool:
                return bool((await reader.branch("conv_1"))[-1]["status"] == "interrupted")

            await eventually(is_interrupted, what="the orphan is interrupted")
            question, orphan = await reader.branch("conv_1")
            assert (question["content"], orphan["content"]) == ("Oi", "So far")
            assert orphan["error"]["code"] == "interrupted"
            generation = await generation_of(sessions, orphan["id"])
            assert generation.status == "interrupted"
            assert generation.finished_at is not None
            assert (await reader.say("Again", conversation_id="conv_1"))["content"] == "ok"
            assert [m["content"] for m in llm.requests[-1]["messages"]] == ["Oi", "So far", "Again"]
    await asking


async def test_replicas_that_sweep_at_once_end_each_orphan_once(
    start_chat: StartChat, llm: FakeLlm, sessions: Sessions
) -> None:
    gates = [Gate() for _ in range(6)]
    for gate in gates:
        llm.will([start(), gate])

    async def sweep() -> list[str]:
        async with sessions.begin() as session:
            return [orphan.message_id for orphan in await end_orphans(session)]

    async with start_chat(chat_lease_seconds=LONG) as chat:
        sends = [asyncio.create_task(chat.send("Oi", conversation_id=f"conv_{n}")) for n in range(6)]
        await asyncio.gather(*(gate.reached.wait() for gate in gates))
        orphans = [(await chat.branch(f"conv_{n}"))[-1]["id"] for n in range(6)]
        await asyncio.gather(*(expire(sessions, message_id) for message_id in orphans))
        swept = [message_id for sweep in await asyncio.gather(*(sweep() for _ in range(4))) for message_id in sweep]
        assert sorted(swept) == sorted(orphans)
    await asyncio.gather(*sends)


async def test_a_replica_that_was_taken_for_dead_stops_and_keeps_its_text(
    start_chat: StartChat, llm: FakeLlm, sessions: Sessions
) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="All that was said"), gate])
    async with start_chat(chat_lease_seconds=SHORT) as chat, chat.streamed("Oi") as events:
        message_id = (await events.until("start"))["id"]
        await gate.reached.wait()
        await take_for_dead(sessions, message_id)
        last = (await events.rest())[-1]
        assert (last[1], last[2]["code"]) == ("error", "interrupted")
        saved = await chat.read(f"messages/{message_id}")
    assert (saved["status"], saved["content"]) == ("interrupted", "All that was said")
    assert llm.readers_gone == 1


async def events_of(chat: ChatApi, generation_id: str) -> list[Any]:
    async with chat.events_of(generation_id) as events:
        return await events.rest()


async def test_what_was_taken_for_dead_has_one_end(start_chat: StartChat, llm: FakeLlm, sessions: Sessions) -> None:
    """Its owner comes back with the whole answer, and shows nothing of it: others have been told how it ended."""
    gate = Gate()
    llm.will([start(), Delta(content="So far"), gate, Delta(content=" and more"), done()])
    async with start_chat(chat_lease_seconds=LONG) as chat, chat.streamed("Oi") as events:
        first = await events.until("start")
        await events.until("delta")
        await take_for_dead(sessions, first["id"])
        async with start_chat(chat_lease_seconds=LONG) as other:
            told = await events_of(other.as_user(**chat.token), first["generation_id"])
        gate.open()
        shown = await events.rest()
        saved = await chat.read(f"messages/{first['id']}")
    assert [kind for _, kind, _ in told] == ["start", "delta", "error"]
    assert shown == told[2:]
    assert (saved["status"], saved["content"], saved["error"]["code"]) == ("interrupted", "So far", "interrupted")
    assert (await generation_of(sessions, first["id"])).status == "interrupted"


async def test_the_end_of_a_deleted_answer_is_told_to_its_readers(
    start_chat: StartChat, llm: FakeLlm, sessions: Sessions
) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="a"), gate, done()])
    async with start_chat(chat_lease_seconds=LONG) as chat, chat.streamed("Oi") as events:
        first = await events.until("start")
        await gate.reached.wait()
        async with sessions.begin() as session:
            await session.execute(
                text("DELETE FROM chat.conversations WHERE id = :id"), {"id": first["conversation_id"]}
            )
        gate.open()
        last = (await events.rest())[-1]
    assert (last[1], last[2]["code"]) == ("error", "message_deleted")
