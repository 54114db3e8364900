"""Lines of the log."""

import json
import logging

import pytest
import structlog

from shared import logs

HOSTILE = "/x\n\r\x1b[2J\x9b2J\x85\u2028\u202e\ud800é"


@pytest.fixture
def capsys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> pytest.CaptureFixture[str]:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    return capsys


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
