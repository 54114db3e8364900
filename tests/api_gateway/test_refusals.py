"""What is refused before there is a request: an operator sees how much of it, and why."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pytest

from shared.connection import LIMITS
from shared.errors import PROBLEM_TYPE
from shared.logs import configure_logs
from shared.refusals import LINES, REASONS, WINDOW, Refusals
from tests.api_gateway.conftest import Gateway
from tests.api_gateway.puppet import Puppet
from tests.api_gateway.raw import Line, connected, head

HASTY = LIMITS._replace(head_time=0.3, body_window=0.3, body_minimum=64, unread_time=0.3, linger_time=0.2)
Logged = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Logged:
    """The lines of the log since the last call."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


async def counted(client: httpx2.AsyncClient) -> dict[str, int]:
    """Refusals by reason, without those that never happened."""
    name = "synapscale_gateway_connection_refusals_total{reason="
    lines = [line for line in (await client.get("/metrics")).text.splitlines() if line.startswith(name)]
    found = {line.split('"')[1]: int(float(line.split()[-1])) for line in lines}
    assert found.keys() == set(REASONS)
    return {reason: number for reason, number in found.items() if number}


LATE_BODY = (b"/api/llm/upload", b"content-length: 1000")


@pytest.mark.parametrize(
    ("said", "status", "reason", "path"),
    [
        (b"NOT HTTP\r\n\r\n", 400, "malformed_request", "/"),
        (b"GET /half HTTP/1.1\r\nhost: x\r\n", 408, "request_timeout", "/half"),
        (b"GET /long?token=" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long", "/long"),
        (b"GET /many HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n", 431, "headers_too_large", "/many"),
    ],
)
async def test_what_the_parser_refuses_is_counted_and_logged_once(
    gateway: Gateway, logged: Logged, said: bytes, status: int, reason: str, path: str
) -> None:
    async with gateway(limits=HASTY) as client:
        async with connected(client) as line:
            await line.say(said)
            answered, headers, body = await line.answer()
        assert await counted(client) == {reason: 1}
    assert answered == status
    assert headers["content-type"] == PROBLEM_TYPE
    problem = msgspec.json.decode(body)
    assert (problem["code"], problem["request_id"]) == (reason, headers["x-request-id"])
    (told,) = [each for each in logged() if each["event"] == "request refused"]
    assert (told["reason"], told["status"], told["path"], told["client"]) == (reason, status, path, "127.0.0.1")
    assert told["request_id"] == headers["x-request-id"]


async def test_a_body_that_is_late_is_refused_under_the_id_of_its_request(gateway: Gateway, logged: Logged) -> None:
    async with gateway(limits=HASTY) as client:
        async with connected(client) as line:
            named = (*LATE_BODY, b"x-request-id: of-the-client")
            await line.say(head(client, *named, method=b"POST"))
            status, headers, _ = await line.answer()
        assert (status, headers["x-request-id"]) == (408, "of-the-client")
        assert await counted(client) == {"request_timeout": 1}
    told = [each for each in logged() if each.get("request_id") == "of-the-client"]
    assert [each["status"] for each in told if each["event"] == "request refused"] == [408]


async def test_what_is_dropped_without_an_answer_is_counted_too(gateway: Gateway, puppet: Puppet) -> None:
    limits = HASTY._replace(connections=2)
    async with gateway(limits=limits) as client:
        async with connected(client) as line, connected(client) as second, connected(client) as third:
            assert await third.everything() == b""
            await line.say(head(client, b"/api/llm/stream"))
            await line.reader.readuntil(b"first")
            await line.say(b"NOT HTTP\r\n\r\n")
            await line.everything()
            await _leaves_an_answer_lying(second, client)
            puppet.go.set()
        found = await counted(client)
    assert found == {"too_many_connections": 1, "malformed_request": 1, "answer_not_read": 1}


async def _leaves_an_answer_lying(line: Line, client: httpx2.AsyncClient) -> None:
    await line.say(head(client, b"/api/llm/flood"))
    async with asyncio.timeout(10):
        while "answer_not_read" not in await counted(client):
            pass


async def test_a_flood_of_refusals_is_counted_and_does_not_fill_the_log(gateway: Gateway, logged: Logged) -> None:
    async with gateway() as client:
        for _ in range(3 * LINES):
            async with connected(client) as line:
                await line.say(b"NOT HTTP\r\n\r\n")
                await line.everything()
        assert await counted(client) == {"malformed_request": 3 * LINES}
    events = Counter(each["event"] for each in logged())
    assert events["request refused"] == LINES
    assert events["further refusals are counted, not logged"] == 1


def test_after_the_window_refusals_are_logged_again(logged: Logged) -> None:
    configure_logs(level="info", style="json")
    now = 1000.0
    refusals = Refusals(clock=lambda: now)
    for _ in range(2):
        for _ in range(LINES + 5):
            refusals.tell("malformed_request", count=None)
        now += WINDOW
    assert len(logged()) == 2 * (LINES + 1)
