"""Lines of the log."""

import asyncio
import json
import logging
from typing import Literal

import pytest
import structlog

from shared import access, logs
from shared.access import Access, as_json

HOSTILE = "/x\n\r\x1b[2J\x9b2J\x85\u2028\u202e\ud800é"


@pytest.fixture
def capsys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> pytest.CaptureFixture[str]:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(access.access_log, "_stream", None)  # pytest closes the one that is captured
    return capsys


ASKED = Access("req_1", "chat", "GET", HOSTILE, 200, 1.5, 1_700_000_000.25)


def test_an_access_line_is_as_a_logger_would_write_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logs(level="info", style="json")
    with_request = logs.request_at_hand.set(("req_1", "chat"))
    structlog.get_logger("access").info("request", method="GET", path=HOSTILE, status=200, ms=1.5)
    logs.request_at_hand.reset(with_request)
    usual = json.loads(capsys.readouterr().err)
    ours = json.loads(as_json(ASKED))
    assert list(ours) == list(usual)
    assert ours == {**usual, "timestamp": "2023-11-14T22:13:20.250000Z"}
    assert as_json(ASKED).isprintable()


@pytest.mark.parametrize("style", ["json", "console"])
async def test_access_lines_are_written_together_and_soon(
    style: Literal["json", "console"], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "FLUSH_AFTER", 0)
    logs.configure_logs(level="info", style=style)
    for _ in range(3):
        access.access_log.add(ASKED)
    assert "req_1" not in capsys.readouterr().err
    lines: list[str] = []
    async with asyncio.timeout(5):
        while not lines:  # another test's server may still have something to say
            await asyncio.sleep(0)
            lines = [line for line in capsys.readouterr().err.splitlines() if '"req_1"' in line or "=req_1 " in line]
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


async def test_no_more_access_lines_wait_than_are_worth_waiting_for(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logs(level="info", style="json")
    access.access_log.add(ASKED._replace(path="/" * access.FLUSH_AT))
    assert capsys.readouterr().err.endswith("}\n")


def test_a_higher_level_switches_access_lines_off(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logs(level="warning", style="json")
    assert not access.access_log.wanted
    logs.configure_logs(level="info", style="json")
    assert access.access_log.wanted
    assert capsys.readouterr().err == ""


def test_what_a_client_chose_stays_on_its_line_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logs(level="info", style="json")
    structlog.get_logger("access").info("request", path=HOSTILE)
    logging.getLogger("library").info("said %s", HOSTILE)
    lines = capsys.readouterr().err.removesuffix("\n").splitlines()
    assert [json.loads(line).get("path", HOSTILE) for line in lines] == [HOSTILE, HOSTILE]
    assert all("é" in line and line.isprintable() for line in lines)


def test_what_a_client_chose_does_not_drive_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logs(level="info", style="console")
    structlog.get_logger("access").info("request", path=HOSTILE)
    logging.getLogger("library").info("said %s", HOSTILE)
    lines = capsys.readouterr().err.removesuffix("\n").splitlines()
    assert len(lines) == 2
    assert all("é" in line and line.isprintable() for line in lines)
