"""Runs the README's examples against a platform, and says what they must print."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from shared.auth.api_keys import is_api_key
from tests.e2e.platforms import Platform, clean_environment
from tests.e2e.readme import ROOT, blocks

MESSAGE_FIELDS = {
    "id",
    "conversation_id",
    "role",
    "content",
    "model",
    "provider",
    "usage",
    "finish_reason",
    "created_at",
}
SHELL_BLOCKS = ("login", "token", "models", "message", "history", "health", "key")


def run_shell_blocks(on: Platform, *, file: str = "README.md") -> dict[str, str]:
    """What each shell block printed; they run in one shell, so that PASSWORD and TOKEN carry over."""
    code = blocks(file)
    script = "\n".join(f"echo '@@{name}'\n{on.as_pasted(code[name])}\necho" for name in SHELL_BLOCKS)
    script += "\necho '@@exported'\nprintenv TOKEN\n"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=clean_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.split("@@")[1:]
    return {name: text.strip() for name, _, text in (one.partition("\n") for one in printed)}


def check_shell_blocks(printed: dict[str, str], *, provider: str, answer: str) -> None:
    login = json.loads(printed["login"])
    assert login["token_type"].lower() == "bearer"
    assert login["expires_in"] == 900
    assert login["refresh_token"]
    assert "gpt-4" in {model["id"] for model in json.loads(printed["models"])["data"]}
    message = json.loads(printed["message"])
    assert message.keys() >= MESSAGE_FIELDS
    assert message["conversation_id"] == "conv_123"
    assert message["role"] == "assistant"
    assert message["content"] == answer
    assert message["provider"] == provider
    assert message["finish_reason"] == "stop"
    history = json.loads(printed["history"])["data"]
    assert {m["role"] for m in history} == {"user", "assistant"}
    assert message["id"] in {m["id"] for m in history}
    health = json.loads(printed["health"])
    assert health["status"] == "ok"
    key = json.loads(printed["key"])
    assert is_api_key(key["key"])
    assert key["requests_per_minute"] == 60


def run_node(on: Platform, token: str) -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    code = on.as_pasted(blocks()["node"])
    return _run([node, "--input-type=module", "-e", code], token)


def run_sdk(on: Platform, token: str) -> str:
    return _run([sys.executable, "-c", on.as_pasted(blocks()["sdk"])], token)


def _run(command: list[str], token: str) -> str:
    environment = clean_environment(TOKEN=token, PATH=os.environ["PATH"])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
