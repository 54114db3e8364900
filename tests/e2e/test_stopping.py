"""SIGTERM while answers are written: whoever waits is told, on every surface, in each shape."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import SHAPES
from tests.e2e.platforms import platform

SILENT = "openai/fault-stall"
"""Says two words, then nothing for longer than a platform takes to stop."""


@pytest.mark.parametrize("shape", SHAPES)
def test_streams_end_with_an_error_and_whole_answers_with_503(shape: str, provider: str, tmp_path: Path) -> None:
    environment = {"OPENAI_API_KEY": "sk-e2e", "OPENAI_BASE_URL": provider}
    with platform(*SHAPES[shape], data_dir=tmp_path / "data", environment=environment) as running:
        password = (tmp_path / "data" / "admin_password").read_text()
        login = httpx2.post(f"{running.url}/api/auth/token", json={"username": "admin", "password": password})
        token = login.json()["access_token"]

        def ask(path: str, **body: Any) -> subprocess.Popen[str]:
            content = httpx2.Request("POST", running.url, json=body).content.decode()
            headers = ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
            command = ["curl", "-sNi", f"{running.url}{path}", *headers, "-d", content]
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

        completion = {"model": SILENT, "messages": [{"role": "user", "content": "Count to 9"}]}
        streams = [
            ask("/v1/chat/completions", **completion, stream=True),
            ask("/api/llm/chat/completions", **completion, stream=True),
            ask("/api/chat/messages", content="Count to 9", model=SILENT, stream=True),
        ]
        whole = ask("/v1/chat/completions", **{**completion, "model": "openai/fault-stall-headers"})
        for stream in streams:
            assert stream.stdout is not None
            while not stream.stdout.readline().startswith("data:"):
                assert stream.poll() is None
        assert running.pid is not None
        os.kill(running.pid, signal.SIGTERM)
        told = [stream.communicate(timeout=10)[0].strip().splitlines() for stream in streams]
        refused = whole.communicate(timeout=10)[0]
    assert [stream.returncode for stream in streams] == [0, 0, 0]
    openai, native, chat = (lines[-1] for lines in told)
    assert '"error":{"message"' in openai
    assert '"code":"stopping"' in openai
    assert '"code":"stopping"' in native
    assert '"type":"error"' in chat
    assert " 503 " in refused.splitlines()[0]
    assert running.log is not None
    assert "Traceback" not in running.log.read_text()
