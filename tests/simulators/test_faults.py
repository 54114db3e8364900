"""Every fault of every simulator, as a client sees it that nobody wrote for that provider."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.simulators.faults import NAMED, Fault
from tests.simulators.http import PATIENCE
from tests.simulators.provider import Provider
from tests.simulators.speakers import SPEAKERS, Speaker

FINISHED = {
    "OpenAI": ("stop", "content_filter"),
    "Anthropic": ("end_turn", "refusal"),
    "Gemini": ("STOP", "SAFETY"),
    "Mistral": ("stop", "error"),
}
"""How an answer ends that is whole, and one that was withheld."""
REFUSING = {name: fault for name, fault in NAMED.items() if fault.name == "status"}
BREAKING = {
    "reset": (httpx2.ReadError, ""),
    "stall-headers": (httpx2.ReadTimeout, ""),
    "stall-first": (httpx2.ReadTimeout, ""),
    "stall": (httpx2.ReadTimeout, "1 2"),
    "cut": (httpx2.RemoteProtocolError, "1 2"),
    "cut-reset": (httpx2.ReadError, "1 2"),
}
"""The exception of a stream, and the words that arrive before it."""
SILENT = {"cut-clean", "cut-in-frame", "corrupt"}
FAILING = {"error-first": "", "error-later": "1 2"}
HARMLESS = {"drip", "split", "crlf", "comments"}
OTHER = {"html", "html-502", "content-filter", "empty", "huge", "no-usage"}

pytestmark = pytest.mark.parametrize("speaker", SPEAKERS, ids=str)


@pytest.fixture
async def sim(speaker: Speaker) -> AsyncIterator[Provider]:
    async with speaker.kind() as simulator:
        yield simulator


def test_every_fault_is_tested_here(speaker: Speaker) -> None:
    assert REFUSING.keys() | BREAKING.keys() | SILENT | FAILING.keys() | HARMLESS | OTHER == NAMED.keys()


async def test_answer_without_a_fault_is_whole(speaker: Speaker, sim: Provider) -> None:
    whole = (await speaker.ask(sim)).json()
    heard = await speaker.listen(sim)
    assert "".join(speaker.pieces(whole)) == speaker.text(heard) == "1 2 3 4 5 6"
    assert speaker.finish(whole) == FINISHED[str(speaker)][0]
    assert speaker.finishes(heard) == [FINISHED[str(speaker)][0]]
    assert any(speaker.usage(event) for event in heard.events)


async def test_nobody_listens_until_it_listens_again(speaker: Speaker, sim: Provider) -> None:
    await sim.refuse()
    with pytest.raises(httpx2.ConnectError):
        await speaker.ask(sim)
    await sim.listen()
    assert (await speaker.ask(sim)).status_code == 200


@pytest.mark.parametrize("name", BREAKING)
async def test_broken_stream_ends_in_an_exception(speaker: Speaker, sim: Provider, name: str) -> None:
    kind, words = BREAKING[name]
    patience = 0.25 if "stall" in name else PATIENCE
    heard = await speaker.listen(sim, model=f"fault-{name}", patience=patience)
    assert type(heard.error) is kind
    assert speaker.text(heard) == words
    assert not speaker.finishes(heard)
    with pytest.raises(kind):
        await speaker.ask(sim, model=f"fault-{name}", patience=patience)


@pytest.mark.parametrize("name", sorted(SILENT))
async def test_truncated_stream_ends_without_a_finish(speaker: Speaker, sim: Provider, name: str) -> None:
    heard = await speaker.listen(sim, model=f"fault-{name}")
    assert heard.error is None
    if name == "corrupt":
        assert len(heard.broken) == 1
        assert speaker.finishes(heard)
    else:
        assert speaker.text(heard) == "1 2"
        assert not speaker.finishes(heard)
        assert b"".join(heard.writes).endswith(b"\n") == (name == "cut-clean")
    with pytest.raises(json.JSONDecodeError):
        (await speaker.ask(sim, model=f"fault-{name}")).json()


@pytest.mark.parametrize("name", FAILING)
async def test_error_within_a_stream_is_in_the_providers_words(speaker: Speaker, sim: Provider, name: str) -> None:
    heard = await speaker.listen(sim, model=f"fault-{name}")
    assert speaker.text(heard) == FAILING[name]
    assert not speaker.finishes(heard)
    assert _is_error(heard.events[-1])
    whole = await speaker.ask(sim, model=f"fault-{name}")
    assert whole.status_code >= 500
    assert _is_error(whole.json())


def _is_error(body: dict[str, object]) -> bool:
    return "error" in body or body.get("object") == "error" or bool({"detail", "message"} & body.keys())


@pytest.mark.parametrize("name", REFUSING)
async def test_refusal_has_its_status_its_headers_and_a_body(speaker: Speaker, sim: Provider, name: str) -> None:
    fault = REFUSING[name]
    expected = 400 if (str(speaker), name) == ("Anthropic", "quota") else fault.status or 500
    answer = await speaker.ask(sim, model=f"fault-{name}")
    assert answer.status_code == expected
    assert _is_error(answer.json())
    assert fault.headers.items() <= dict(answer.headers).items()
    heard = await speaker.listen(sim, model=f"fault-{name}")
    assert not heard.events


async def test_page_in_place_of_an_answer(speaker: Speaker, sim: Provider) -> None:
    for name, status in (("html", 200), ("html-502", 502)):
        answer = await speaker.ask(sim, model=f"fault-{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=UTF-8")
        assert b"".join((await speaker.listen(sim, model=f"fault-{name}")).writes).startswith(b"<html>")


@pytest.mark.parametrize("name", sorted(HARMLESS))
async def test_odd_framing_changes_no_word(speaker: Speaker, sim: Provider, name: str) -> None:
    before = time.perf_counter()
    heard = await speaker.listen(sim, "Olá 🌍🇧🇷!", model=f"fault-{name}")
    assert speaker.text(heard) == "Olá 🌍🇧🇷!"
    assert speaker.finishes(heard) == [FINISHED[str(speaker)][0]]
    match name:
        case "drip":
            assert time.perf_counter() - before >= 2 * 0.05
        case "split":
            assert {len(write) for write in heard.writes} == {1}
        case "crlf":
            assert all(write.endswith(b"\r\n\r\n") for write in heard.writes)
        case "comments":
            assert all(write.startswith(b": keep-alive\n\n") for write in heard.writes)


async def test_withheld_answer_says_so(speaker: Speaker, sim: Provider) -> None:
    heard = await speaker.listen(sim, model="fault-content-filter")
    whole = (await speaker.ask(sim, model="fault-content-filter")).json()
    assert speaker.text(heard) == "".join(speaker.pieces(whole)) == "1 2"
    assert speaker.finishes(heard) == [speaker.finish(whole)] == [FINISHED[str(speaker)][1]]


async def test_empty_answer_is_finished(speaker: Speaker, sim: Provider) -> None:
    heard = await speaker.listen(sim, model="fault-empty")
    whole = (await speaker.ask(sim, model="fault-empty")).json()
    assert speaker.text(heard) == "".join(speaker.pieces(whole)) == ""
    assert speaker.finishes(heard) == [speaker.finish(whole)] == [FINISHED[str(speaker)][0]]


async def test_huge_answer_is_one_event(speaker: Speaker, sim: Provider) -> None:
    heard = await speaker.listen(sim, model="fault-huge")
    assert [len(text) for event in heard.events if (text := "".join(speaker.pieces(event)))] == [1_000_000]


async def test_usage_may_be_missing(speaker: Speaker, sim: Provider) -> None:
    heard = await speaker.listen(sim, model="fault-no-usage")
    assert speaker.text(heard) == "1 2 3 4 5 6"
    assert not any(speaker.usage(event) for event in heard.events)
    assert speaker.usage((await speaker.ask(sim, model="fault-no-usage")).json()) is None


async def test_scripts_befall_one_request_each(speaker: Speaker, sim: Provider) -> None:
    sim.will_answer("First of all.", "Second.")
    sim.will_fail("429-retry-after", Fault("cut", after=1))
    assert (await speaker.ask(sim)).headers["retry-after"] == "1"
    heard = await speaker.listen(sim)
    assert (speaker.text(heard), type(heard.error)) == ("First", httpx2.RemoteProtocolError)
    assert "".join(speaker.pieces((await speaker.ask(sim)).json())) == "Second."
    assert "".join(speaker.pieces((await speaker.ask(sim)).json())) == "1 2 3 4 5 6"
    assert [request.number for request in sim.requests] == [1, 2, 3, 4]


@pytest.mark.parametrize("fault", ["stall-headers", "stall-first", "stall"])
async def test_client_that_leaves_is_noticed_at_once(speaker: Speaker, sim: Provider, fault: str) -> None:
    asking = asyncio.create_task(speaker.listen(sim, model=f"fault-{fault}"))
    request = await sim.wait_for_request()
    async with asyncio.timeout(PATIENCE):
        await request.held.wait()
        asking.cancel()
        left = time.monotonic()
        await request.disconnected.wait()
    assert request.left_at is not None
    assert request.left_at - left < 0.1
    assert not request.answered.is_set()
