"""Every fault, and what OpenAI's SDK makes of it: the exception that the real provider would cause."""

import asyncio
import json
import time
from typing import Any, get_args

import httpx2
import pytest
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)

from tests.simulators.faults import NAMED, Fault, FaultName
from tests.simulators.http import PATIENCE
from tests.simulators.openai import OpenAISimulator
from tests.simulators.openai_asking import ask, ask_streaming, open_stream, text

SIX = "Count to 6"

BREAKING: dict[str, tuple[int, type[Exception], type[Exception]]] = {
    "reset": (0, APIConnectionError, APIConnectionError),
    "stall-headers": (0, APITimeoutError, APITimeoutError),
    "stall-first": (0, APITimeoutError, APITimeoutError),
    "stall": (2, APITimeoutError, APITimeoutError),
    "cut": (2, APIConnectionError, APIConnectionError),
    "cut-reset": (2, APIConnectionError, APIConnectionError),
    "corrupt": (2, json.JSONDecodeError, json.JSONDecodeError),
    "html-502": (0, InternalServerError, InternalServerError),
    "error-first": (0, APIError, InternalServerError),
    "error-later": (2, APIError, InternalServerError),
}
"""Words that arrive before it, the exception of a stream, and that of a whole answer."""

REFUSING: dict[str, tuple[type[APIStatusError], str | None, str]] = {
    "status": (InternalServerError, None, "server_error"),
    "400": (BadRequestError, None, "invalid_request_error"),
    "context-length": (BadRequestError, "context_length_exceeded", "invalid_request_error"),
    "401": (AuthenticationError, "invalid_api_key", "invalid_request_error"),
    "403": (PermissionDeniedError, "unsupported_country_region_territory", "request_forbidden"),
    "404": (NotFoundError, "model_not_found", "invalid_request_error"),
    "408": (APIStatusError, "request_timeout", "internal_error"),
    "429": (RateLimitError, "rate_limit_exceeded", "requests"),
    "429-retry-after": (RateLimitError, "rate_limit_exceeded", "requests"),
    "429-retry-after-ms": (RateLimitError, "rate_limit_exceeded", "requests"),
    "quota": (RateLimitError, "insufficient_quota", "insufficient_quota"),
    "500": (InternalServerError, None, "server_error"),
    "502": (InternalServerError, None, "server_error"),
    "503": (InternalServerError, None, "server_error"),
    "504": (InternalServerError, None, "server_error"),
    "529": (InternalServerError, None, "server_error"),
}
"""The exception, and the error's code and type."""

SILENT = {"cut-clean", "cut-in-frame", "html"}
"""The SDK takes what is missing for an end."""
HARMLESS = {"drip", "split", "crlf", "comments"}
OF_THE_ANSWER = {"content-filter", "empty", "huge", "no-usage"}


def patient(sdk: AsyncOpenAI, name: str) -> AsyncOpenAI:
    """Waits no longer than a quarter of a second for what will not come."""
    return sdk.with_options(timeout=0.25) if name.startswith("stall") else sdk


def test_every_fault_is_tested_here() -> None:
    tested = BREAKING.keys() | REFUSING.keys() | SILENT | HARMLESS | OF_THE_ANSWER
    assert tested == set(NAMED)
    assert set(get_args(FaultName)) <= set(NAMED)


@pytest.mark.parametrize("name", BREAKING)
async def test_broken_stream_raises_after_the_words_that_arrived(openai_sdk: AsyncOpenAI, name: str) -> None:
    words, streamed, _ = BREAKING[name]
    arrived: list[str] = []

    async def listen() -> None:
        async for chunk in await open_stream(patient(openai_sdk, name), SIX, model=f"fault-{name}"):
            arrived.append(chunk.choices[0].delta.content or "")

    with pytest.raises(streamed) as broken:
        await listen()
    assert type(broken.value) is streamed
    assert "".join(arrived) == "1 2"[: max(0, 2 * words - 1)]


@pytest.mark.parametrize("name", BREAKING)
async def test_broken_answer_raises(openai_sdk: AsyncOpenAI, name: str) -> None:
    _, _, whole = BREAKING[name]
    with pytest.raises(whole) as broken:
        await ask(patient(openai_sdk, name), SIX, model=f"fault-{name}")
    assert type(broken.value) is whole


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", REFUSING)
async def test_refusal_has_the_providers_own_body(openai_sdk: AsyncOpenAI, name: str, stream: bool) -> None:
    kind, code, error_type = REFUSING[name]
    with pytest.raises(kind) as refused:
        await ask(openai_sdk, SIX, model=f"fault-{name}", stream=stream)
    assert type(refused.value) is kind
    assert (refused.value.code, refused.value.type) == (code, error_type)
    assert refused.value.status_code == (NAMED[name].status or 500)
    assert refused.value.request_id
    waits = {header: refused.value.response.headers.get(header) for header in ("retry-after", "retry-after-ms")}
    assert {header: value for header, value in waits.items() if value} == NAMED[name].headers


async def test_error_event_carries_the_providers_words(openai_sdk: AsyncOpenAI) -> None:
    with pytest.raises(APIError, match="The server had an error") as broken:
        await ask_streaming(openai_sdk, SIX, model="fault-error-first")
    assert broken.value.type == "server_error"


@pytest.mark.parametrize("name", ["cut-clean", "cut-in-frame"])
async def test_truncated_answer_ends_a_stream_without_a_finish(openai_sdk: AsyncOpenAI, name: str) -> None:
    chunks = await ask_streaming(openai_sdk, SIX, model=f"fault-{name}")
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "1", " 2"]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 3
    with pytest.raises(json.JSONDecodeError):
        await ask(openai_sdk, SIX, model=f"fault-{name}")


async def test_web_page_is_a_stream_of_nothing(openai_sdk: AsyncOpenAI) -> None:
    assert await ask_streaming(openai_sdk, SIX, model="fault-html") == []
    page: Any = await ask(openai_sdk, SIX, model="fault-html")
    assert page.startswith("<html>")


@pytest.mark.parametrize("name", sorted(HARMLESS))
async def test_odd_framing_changes_no_word(openai_sdk: AsyncOpenAI, name: str) -> None:
    question = "Olá 🌍🇧🇷!"
    expected = text(await ask(openai_sdk, question))
    assert text(await ask(openai_sdk, question, model=f"fault-{name}")) == expected
    chunks = await ask_streaming(openai_sdk, question, model=f"fault-{name}")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected


async def test_filtered_answer_says_so(openai_sdk: AsyncOpenAI) -> None:
    whole = await ask(openai_sdk, SIX, model="fault-content-filter")
    assert (text(whole), whole.choices[0].finish_reason) == ("1 2", "content_filter")
    chunks = await ask_streaming(openai_sdk, SIX, model="fault-content-filter")
    assert chunks[-1].choices[0].finish_reason == "content_filter"


async def test_empty_answer_is_finished(openai_sdk: AsyncOpenAI) -> None:
    assert text(await ask(openai_sdk, SIX, model="fault-empty")) == ""
    chunks = await ask_streaming(openai_sdk, SIX, model="fault-empty")
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, "stop"]


async def test_huge_answer_is_one_event(openai_sdk: AsyncOpenAI) -> None:
    chunks = await ask_streaming(openai_sdk, SIX, model="fault-huge")
    assert [len(chunk.choices[0].delta.content or "") for chunk in chunks] == [0, 1_000_000, 0]


async def test_usage_may_be_missing(openai_sdk: AsyncOpenAI) -> None:
    assert (await ask(openai_sdk, SIX, model="fault-no-usage")).usage is None
    chunks = await ask_streaming(openai_sdk, SIX, model="fault-no-usage", stream_options={"include_usage": True})
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_drip_takes_its_time(openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI) -> None:
    openai_sim.faults.append(Fault("drip", interval=0.02))
    before = time.perf_counter()
    await ask_streaming(openai_sdk, SIX)
    assert time.perf_counter() - before >= 6 * 0.02


async def test_slow_model_takes_its_time(openai_sdk: AsyncOpenAI) -> None:
    before = time.perf_counter()
    assert len(await ask_streaming(openai_sdk, "Hi", model="gpt-4o-slow")) == 3
    assert time.perf_counter() - before >= 0.2


async def test_queued_fault_befalls_one_request(openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI) -> None:
    openai_sim.faults.append(Fault("status", status=429, headers={"retry-after-ms": "5"}))
    assert text(await ask(openai_sdk.with_options(max_retries=1), SIX)) == "1 2 3 4 5 6"
    assert [request.headers["x-stainless-retry-count"] for request in openai_sim.requests] == ["0", "1"]


async def test_queued_fault_waits_for_a_question_or_for_its_path(
    openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI
) -> None:
    openai_sim.faults.append(Fault("status", status=503))
    assert await openai_sdk.models.list()
    openai_sim.faults.appendleft(Fault("status", path="/models"))
    with pytest.raises(APIStatusError) as overloaded:
        await ask(openai_sdk, SIX)
    assert overloaded.value.status_code == 503
    with pytest.raises(APIStatusError) as failed:
        await openai_sdk.models.list()
    assert failed.value.status_code == 500
    assert not openai_sim.faults


async def test_fault_strikes_where_it_is_told_to(openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI) -> None:
    for after, words in ((0, 0), (5, 5), (6, 6), (99, 6)):
        openai_sim.faults.append(Fault("cut-clean", after=after))
        chunks = await ask_streaming(openai_sdk, SIX)
        assert len(chunks) == 1 + words
        assert chunks[-1].choices[0].finish_reason is None


async def test_stall_is_left_by_the_client(openai_sim: OpenAISimulator, openai_sdk: AsyncOpenAI) -> None:
    asking = asyncio.create_task(ask_streaming(openai_sdk, SIX, model="fault-stall-headers"))
    request = await openai_sim.wait_for_request()
    async with asyncio.timeout(PATIENCE):
        await request.held.wait()
        asking.cancel()
        await request.disconnected.wait()
    assert request.sent == 0


async def spoken(sim: OpenAISimulator, model: str) -> bytes:
    """Every byte of a streamed answer; raises ConnectionResetError with those before an RST as its argument."""
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": SIX}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer {sim.api_key}\r\n"
    framing = f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    received = b""
    try:
        writer.write((head + framing).encode() + body)
        while some := await reader.read(65_536):
            received += some
    except ConnectionResetError:
        raise ConnectionResetError(received) from None
    finally:
        writer.close()
    return received


async def test_ends_differ_on_the_socket(openai_sim: OpenAISimulator) -> None:
    assert (await spoken(openai_sim, "gpt-4o")).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    clean = await spoken(openai_sim, "fault-cut-clean")
    assert clean.endswith(b"\n\n\r\n0\r\n\r\n")
    assert b"[DONE]" not in clean
    assert (await spoken(openai_sim, "fault-cut")).endswith(b"\n\n\r\n")
    half = (await spoken(openai_sim, "fault-cut-in-frame")).split(b"\r\n")[-4]
    assert half.startswith(b"data: {")
    assert not half.endswith(b"\n")
    with pytest.raises(ConnectionResetError) as reset:
        await spoken(openai_sim, "fault-reset")
    assert reset.value.args == (b"",)
    with pytest.raises(ConnectionResetError):
        await spoken(openai_sim, "fault-cut-reset")


@pytest.mark.parametrize("name", ["split", "crlf", "comments"])
async def test_framing_is_as_odd_as_it_says(plain: httpx2.AsyncClient, name: str) -> None:
    body = {"model": f"fault-{name}", "stream": True, "messages": [{"role": "user", "content": "Olá 🌍"}]}
    async with plain.stream("POST", "/v1/chat/completions", json=body) as answer:
        writes = [write async for write in answer.aiter_raw()]
    match name:
        case "split":
            assert {len(write) for write in writes} == {1}
            assert "🌍".encode() in b"".join(writes)
        case "crlf":
            assert all(write.endswith(b"\r\n\r\n") and write.count(b"\n") == 2 for write in writes)
        case "comments":
            assert all(write.startswith(b": keep-alive\n\ndata: ") for write in writes)
