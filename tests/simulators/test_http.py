"""The server beneath the simulators: what it remembers, holds back and refuses, and how another process steers it."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from tests.simulators.answers import KNOWN
from tests.simulators.http import PATIENCE, nothing_listens
from tests.simulators.openai import OpenAISimulator
from tests.simulators.openai_asking import ask, ask_streaming, open_stream, sdk_of, text

BRAZIL = "Qual é a capital do Brasil?"


async def test_everything_received_is_recorded(openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI) -> None:
    await openai_sdk.models.list()
    await ask(openai_sdk, BRAZIL, extra_headers={"X-Trace": "t1"}, extra_query={"debug": "1"})
    listed, asked = openai_sim.requests
    assert (listed.method, listed.path, listed.body) == ("GET", "/v1/models", None)
    assert (asked.method, asked.path, asked.query) == ("POST", "/v1/chat/completions", "debug=1")
    assert asked.body == {"model": "gpt-4o", "messages": [{"role": "user", "content": BRAZIL}]}
    assert asked.headers["x-trace"] == "t1"
    assert asked.headers["authorization"] == f"Bearer {openai_sim.api_key}"
    assert asked.answered.is_set()
    assert not asked.disconnected.is_set()
    assert (listed.connection, asked.connection, openai_sim.connections) == (1, 1, 1)


async def test_gate_holds_a_stream_after_what_it_let_through(
    openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI
) -> None:
    gate = openai_sim.hold(after=2)
    stream = await open_stream(openai_sdk, "Count to 4")
    seen = [(await anext(stream)).choices[0].delta.content for _ in range(3)]
    assert seen == ["", "1", " 2"]
    rest = asyncio.create_task(anext(stream))
    await gate.wait_until_reached()
    assert (openai_sim.requests[0].sent, gate.held, rest.done()) == (2, 1, False)
    gate.release()
    assert (await rest).choices[0].delta.content == " 3"
    assert len([chunk async for chunk in stream]) == 2


async def test_gate_holds_a_document_before_its_headers(openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI) -> None:
    gate = openai_sim.hold(after=2)
    asking = asyncio.create_task(ask(openai_sdk, "Count to 4"))
    await gate.wait_until_reached()
    assert openai_sim.requests[0].sent == 0
    gate.release()
    assert text(await asking) == "1 2 3 4"


@pytest.mark.parametrize("stream", [True, False])
async def test_cancelled_request_is_seen_as_a_disconnect(
    openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI, stream: bool
) -> None:
    gate = openai_sim.hold(after=1)
    asking = asyncio.create_task(ask_streaming(openai_sdk, BRAZIL) if stream else ask(openai_sdk, BRAZIL))
    await gate.wait_until_reached()
    asking.cancel()
    request = openai_sim.requests[0]
    async with asyncio.timeout(PATIENCE):
        await request.disconnected.wait()
    assert not request.answered.is_set()
    assert gate.held == 0


async def test_refusing_server_can_be_brought_back_on_its_port(
    openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI
) -> None:
    await ask(openai_sdk, BRAZIL)
    await openai_sim.refuse()
    with pytest.raises(APIConnectionError):
        await ask(openai_sdk, BRAZIL)
    await openai_sim.listen()
    assert text(await ask(openai_sdk, BRAZIL)) == KNOWN[BRAZIL]


async def test_connection_that_was_only_just_accepted_is_closed_too(openai_sim: OpenAISimulator) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", openai_sim.port) for _ in range(20)]
    await openai_sim.refuse()
    for reader, writer in opened:
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):  # those that were not accepted yet are reset
                assert await reader.read() == b""
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_nothing_listens_where_nothing_should(openai_sdk: AsyncOpenAI) -> None:
    with nothing_listens() as base_url, pytest.raises(APIConnectionError) as refused:
        await ask(openai_sdk.with_options(base_url=base_url), BRAZIL)
    assert isinstance(refused.value.__cause__, httpx2.ConnectError)


async def test_each_event_is_one_write(plain: httpx2.AsyncClient) -> None:
    question = {"role": "user", "content": "Say it with emoji"}
    body = {"model": "gpt-4o", "stream": True, "messages": [question]}
    async with plain.stream("POST", "/v1/chat/completions", json=body) as answer:
        writes = [write async for write in answer.aiter_raw()]
    assert all(write.startswith(b"data: ") and write.endswith(b"\n\n") for write in writes)
    assert "👨‍👩‍👧‍👦".encode() in b"".join(writes)
    assert writes[-1] == b"data: [DONE]\n\n"
    assert len(writes) == 1 + 12 + 1 + 1


async def test_request_that_is_not_http_is_refused_and_the_connection_closed(openai_sim: OpenAISimulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", openai_sim.port)
    writer.write(b"HELLO\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    await writer.wait_closed()


async def test_error_of_a_simulator_itself_is_raised_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(OpenAISimulator, "_complete")
    sim = await OpenAISimulator().__aenter__()
    async with sdk_of(sim.base_url, sim.api_key) as sdk:
        with pytest.raises(APIConnectionError):
            await ask(sdk, BRAZIL)
    with pytest.raises(AttributeError, match="_complete"):
        await sim.__aexit__(None, None, None)


@asynccontextmanager
async def own_process(*arguments: str) -> AsyncIterator[str]:
    """Base URL of the simulator that runs by itself."""
    command = (sys.executable, "-m", "tests.simulators.openai", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_other_processes_steer_it_by_http() -> None:
    async with (
        own_process("--api-key", "sk-e2e", "--list-faults") as base_url,
        httpx2.AsyncClient(base_url=base_url.removesuffix("/v1"), verify=False) as other,
        sdk_of(base_url, "sk-e2e") as sdk,
    ):
        await other.post("/__control", json={"hold_after": 1})
        asking = asyncio.create_task(ask_streaming(sdk, "Count to 2"))
        async with asyncio.timeout(PATIENCE):
            while (await other.get("/__control")).json()["held"] == 0:
                pass
        await other.post("/__control", json={"release": True})
        assert len(await asking) == 4
        await other.post("/__control", json={"fault": {"name": "429", "headers": {"retry-after": "7"}}})
        with pytest.raises(APIStatusError, match="Rate limit reached") as refused:
            await ask(sdk, BRAZIL)
        assert refused.value.response.headers["retry-after"] == "7"
        with pytest.raises(APIStatusError, match="overloaded"):
            await ask(sdk, BRAZIL, model="fault-503")
        requests = (await other.get("/__requests")).json()["requests"]
        assert [(one["answered"], one["body"]["model"]) for one in requests][1:] == [
            (True, "gpt-4o"),
            (True, "fault-503"),
        ]
        changed = (await other.post("/__control", json={"hold_after": 0, "pace": 0.5, "fault": "cut"})).json()
        assert (changed["hold_after"], changed["pace"], changed["faults"]) == (0, 0.5, ["cut"])
        reset = (await other.post("/__control", json={"reset": True})).json()
        assert reset == {**changed, "requests": 0, "hold_after": None, "pace": 0.0, "faults": []}


@pytest.mark.parametrize("change", [{"faults": "cut"}, {"fault": "none"}, {"fault": {"name": "cut", "later": 1}}, []])
async def test_unknown_change_is_refused(plain: httpx2.AsyncClient, change: object) -> None:
    assert (await plain.post("/__control", json=change)).status_code == 400
