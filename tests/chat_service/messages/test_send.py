"""Sending a message and reading the answer, whole or as a stream."""

import asyncio
from itertools import groupby

from shared.events import Delta, Reasoning, ToolCall
from tests.chat_service.api import ChatApi
from tests.chat_service.fake_llm import USAGE, FakeLlm, Gate, Step, answer, done, start


async def test_a_message_is_answered(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("Bra", "sília", " 🇧🇷"))
    reply = await chat.say("Qual é a capital do Brasil?", conversation_id="conv_123", model="gpt-4")
    assert reply["id"].startswith("msg_")
    assert reply["generation_id"].startswith("gen_")
    assert reply["created_at"].endswith("Z")
    shown = {name: reply[name] for name in reply.keys() - {"id", "generation_id", "parent_id", "created_at"}}
    assert shown == {
        "conversation_id": "conv_123",
        "role": "assistant",
        "content": "Brasília 🇧🇷",
        "parts": [],
        "status": "completed",
        "model": "gpt-4",
        "provider": "fake",
        "usage": USAGE,
        "cost_usd": "0.00012",
        "finish_reason": "stop",
        "error": None,
        "feedback": None,
    }


async def test_both_forms_of_an_answer_are_equal(chat: ChatApi, llm: FakeLlm) -> None:
    script: list[Step] = [
        start(),
        Reasoning(reasoning="The user "),
        Reasoning(reasoning="is polite."),
        Delta(content="Olá"),
        Delta(content="!"),
        ToolCall(id="call_1", name="clock", arguments='{"zone": "BRT"}'),
        done(finish_reason="tool_calls"),
    ]
    llm.will(script, script)
    whole = await chat.say("Oi", conversation_id="conv_whole")
    async with chat.streamed("Oi", conversation_id="conv_streamed") as events:
        shown = await events.rest()
    last = shown[-1][2]
    streamed = await chat.read(f"messages/{last['message_id']}")
    own = {"id", "conversation_id", "parent_id", "generation_id", "created_at"}
    assert {k: v for k, v in whole.items() if k not in own} == {k: v for k, v in streamed.items() if k not in own}
    assert whole["parts"] == [
        {"type": "reasoning", "text": "The user is polite."},
        {"type": "tool_call", "id": "call_1", "name": "clock", "arguments": '{"zone": "BRT"}'},
    ]
    assert "".join(event["content"] for _, _, event in shown) == whole["content"]
    for name in ("usage", "cost_usd", "model", "provider", "finish_reason"):
        assert last[name] == whole[name]


async def test_a_stream_is_numbered_and_ends_with_one_done(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("a", "b"))
    async with chat.streamed("Oi", conversation_id="conv_1") as events:
        assert events.response.headers["content-type"].startswith("text/event-stream")
        shown = await events.rest()
    kinds = [kind for _, kind, _ in shown]
    assert [sequence for sequence, _, _ in shown] == list(range(1, len(shown) + 1))
    assert [kind for kind, _ in groupby(kinds)] == ["start", "delta", "usage", "done"]
    assert [event["type"] for _, _, event in shown] == kinds
    assert {event["generation_id"] for _, _, event in shown} == {shown[0][2]["generation_id"]}
    first, last = shown[0][2], shown[-1][2]
    assert (first["conversation_id"], first["model"], first["provider"]) == ("conv_1", "gpt-4", "fake")
    assert first["id"] == last["message_id"]
    assert last["conversation_id"] == "conv_1"


async def test_deltas_come_while_the_model_still_speaks(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([start(), Delta(content="slow"), gate, done()])
    async with chat.streamed("Oi") as events:
        assert (await events.until("delta"))["content"] == "slow"
        gate.open()
        await events.until("done")


async def test_done_is_sent_when_the_answer_can_be_read(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("saved"))
    async with chat.streamed("Oi") as events:
        last = await events.until("done")
        saved = await chat.read(f"messages/{last['message_id']}")
    assert (saved["status"], saved["content"]) == ("completed", "saved")


async def test_what_was_sent_can_be_read_while_the_model_is_silent(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([gate, *answer("late")])
    sending = asyncio.create_task(chat.say("Are you there?", conversation_id="conv_1"))
    await gate.reached.wait()
    question, placeholder = await chat.branch("conv_1")
    assert (question["role"], question["content"], question["status"]) == ("user", "Are you there?", "completed")
    assert (placeholder["role"], placeholder["content"], placeholder["status"]) == ("assistant", "", "running")
    gate.open()
    assert (await sending)["id"] == placeholder["id"]


async def test_the_model_is_told_the_conversation(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("one"), answer("two"))
    await chat.say("1?", conversation_id="conv_1", model="gpt-4")
    await chat.say("2?", conversation_id="conv_1")
    await chat.say("3?", conversation_id="conv_1", model="other")
    assert llm.requests[2] == {
        "model": "other",
        "stream": True,
        "messages": [
            {"role": "user", "content": "1?"},
            {"role": "assistant", "content": "one"},
            {"role": "user", "content": "2?"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "3?"},
        ],
    }
    assert llm.requests[1]["model"] == "gpt-4"  # the conversation's own
    assert llm.headers[0]["authorization"] == chat.headers["authorization"]


async def test_without_any_model_named_the_model_service_chooses(chat: ChatApi, llm: FakeLlm) -> None:
    await chat.say("Oi")
    assert llm.requests[0]["model"] == "auto"


async def test_the_request_id_travels_to_the_model(chat: ChatApi, llm: FakeLlm) -> None:
    chat.headers["x-request-id"] = "req_of_the_client"
    await chat.say("Oi")
    assert llm.headers[0]["x-request-id"] == "req_of_the_client"


async def test_messages_without_an_id_begin_conversations_of_their_own(chat: ChatApi) -> None:
    first, second = await chat.say("Oi"), await chat.say("Oi")
    assert first["conversation_id"].startswith("conv_")
    assert first["conversation_id"] != second["conversation_id"]


async def test_each_message_is_the_child_of_the_last(chat: ChatApi) -> None:
    await chat.say("1?", conversation_id="conv_1")
    await chat.say("2?", conversation_id="conv_1")
    branch = await chat.branch("conv_1")
    assert [message["role"] for message in branch] == ["user", "assistant", "user", "assistant"]
    assert [message["parent_id"] for message in branch] == [None, *(message["id"] for message in branch[:-1])]


async def test_a_parent_begins_a_branch(chat: ChatApi, llm: FakeLlm) -> None:
    llm.will(answer("one"), answer("two"), answer("other two"))
    first = await chat.say("1?", conversation_id="conv_1")
    await chat.say("2?", conversation_id="conv_1")
    await chat.say("other 2?", conversation_id="conv_1", parent_id=first["id"])
    told = [message["content"] for message in llm.requests[-1]["messages"]]
    assert told == ["1?", "one", "other 2?"]
    assert [message["content"] for message in await chat.branch("conv_1")] == ["1?", "one", "other 2?", "other two"]


async def test_the_next_message_continues_the_newest_branch(chat: ChatApi, llm: FakeLlm) -> None:
    first = await chat.say("1?", conversation_id="conv_1")
    await chat.say("2?", conversation_id="conv_1")
    await chat.say("other 2?", conversation_id="conv_1", parent_id=first["id"])
    await chat.say("3?", conversation_id="conv_1")
    told = [message["content"] for message in llm.requests[-1]["messages"] if message["role"] == "user"]
    assert told == ["1?", "other 2?", "3?"]


async def test_what_the_database_cannot_hold_is_replaced_in_the_answer(chat: ChatApi, llm: FakeLlm) -> None:
    call = ToolCall(id="call_1", name="n\0", arguments='{"a": "\\u0000"}')
    llm.will([start(), Reasoning(reasoning="a\0b"), Delta(content="c\0d"), call, done(usage={"note": "\0"})])
    async with chat.streamed("Oi") as events:
        shown = await events.rest()
    saved = await chat.read(f"messages/{shown[-1][2]['message_id']}")
    assert saved["content"] == "".join(event["content"] for _, _, event in shown) == "c\N{REPLACEMENT CHARACTER}d"
    assert saved["parts"][0]["text"] == "a\N{REPLACEMENT CHARACTER}b"
    assert saved["parts"][1]["arguments"] == '{"a": "\\u0000"}'
