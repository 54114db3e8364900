"""Many messages to one conversation at the same moment."""

import asyncio
from itertools import islice

from tests.chat_service.api import ChatApi, eventually
from tests.chat_service.conftest import StartChat
from tests.chat_service.fake_llm import FakeLlm, Gate, answer


async def test_one_of_two_messages_sent_at_once_is_taken(chat: ChatApi, llm: FakeLlm) -> None:
    gate = Gate()
    llm.will([gate, *answer("only one")])
    sends = [asyncio.create_task(chat.send(str(number), conversation_id="conv_1")) for number in range(8)]
    await gate.reached.wait()
    refused = [(await send).status_code for send in islice(asyncio.as_completed(sends), 7)]
    assert refused == 7 * [409]
    gate.open()
    assert sorted([(await send).status_code for send in sends]) == [200] + 7 * [409]
    assert len(llm.requests) == 1
    assert len(await chat.branch("conv_1")) == 2


async def test_accepted_messages_are_never_interleaved(start_chat: StartChat, llm: FakeLlm) -> None:
    """Two replicas, many clients; each tries until it is taken."""
    async with start_chat() as one, start_chat() as other:
        other = other.as_user(**one.token)

        async def insist(number: int) -> None:
            replica = (one, other)[number % 2]

            async def is_taken() -> bool:
                return (await replica.send(str(number), conversation_id="conv_1")).status_code == 200

            await eventually(is_taken, what="the message is taken", within=20)

        await asyncio.gather(*(insist(number) for number in range(12)))
        branch = await one.branch("conv_1")
    assert [message["role"] for message in branch] == 12 * ["user", "assistant"]
    assert sorted(int(message["content"]) for message in branch[::2]) == list(range(12))
