"""schemathesis over the merged OpenAPI document, on the whole platform: all of its checks and phases, nothing found."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.e2e.platforms import Platform, platform

HERE = Path(__file__).parent
NO_LIMITS = {
    "SYNAPSCALE_REGISTRATION": "open",
    "SYNAPSCALE_RATE_LIMIT_PER_MINUTE": "0",
    "SYNAPSCALE_RATE_LIMIT_ANONYMOUS_PER_MINUTE": "0",
    "SYNAPSCALE_RATE_LIMIT_LOGIN_PER_MINUTE": "0",
}
"""Else most answers would be 429, which shows nothing."""
LIMIT = 240.0
"""Seconds, for the slowest machine; two idle cores take 30."""


def token_of(running: Platform, *, data_dir: Path) -> str:
    password = (data_dir / "admin_password").read_text()
    answer = httpx2.post(f"{running.url}/api/auth/token", json={"username": "admin", "password": password}, timeout=10)
    token: str = answer.json()["access_token"]
    return token


@pytest.mark.timeout(LIMIT + 60)
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with platform(data_dir=data_dir, environment=NO_LIMITS) as running:
        token = token_of(running, data_dir=data_dir)
        run = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), "--config-file", HERE / "schemathesis.toml", "--no-color",
             "run", f"{running.url}/openapi.json", *os.environ.get("FUZZED_OPTIONS", "").split()],
            cwd=tmp_path,
            env={**os.environ, "FUZZED_TOKEN": token, "FUZZED_HOOKS": str(HERE / "fuzzing.py")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout
        me = httpx2.get(f"{running.url}/api/auth/me", headers={"authorization": f"Bearer {token}"}, timeout=10)
        assert "admin" in me.json()["scopes"], "the run has lost its rights on the way, and proves little"
