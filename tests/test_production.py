"""Production starts with real secrets only, and says of every other one which it is."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import api_gateway.settings
import auth_service.settings
import chat_service.settings
import launcher.settings
import llm_service.settings
from shared.secrets import stored_secret
from shared.settings import ServiceSettings, is_weak

ROOT = Path(__file__).parent.parent
SECRET_KEY, DATABASE_URL, ADMIN_PASSWORD = (
    "SYNAPSCALE_SECRET_KEY", "SYNAPSCALE_DATABASE_URL", "SYNAPSCALE_ADMIN_PASSWORD",
)  # fmt: skip
NEEDED: dict[Any, set[str]] = {
    api_gateway.settings.Settings: {SECRET_KEY},
    auth_service.settings.Settings: {SECRET_KEY, DATABASE_URL, ADMIN_PASSWORD},
    chat_service.settings.Settings: {SECRET_KEY, DATABASE_URL},
    launcher.settings.Settings: {SECRET_KEY, DATABASE_URL},
    llm_service.settings.Settings: {SECRET_KEY, DATABASE_URL},
}
MODULES = {
    "api_gateway": api_gateway.settings.Settings,
    "auth_service": auth_service.settings.Settings,
    "chat_service": chat_service.settings.Settings,
    "llm_service": llm_service.settings.Settings,
}
GOOD = {
    SECRET_KEY: "8Yb2xG7wq0Vt5Lr1uJ4nC9sKd3Fz6Hp-aE_mQo",
    DATABASE_URL: "postgresql://synapscale:Zk3-v9Qq_81xTt@db/synapscale",
    ADMIN_PASSWORD: "Kp7-w2Zt_9mXq4",
}
every_service = pytest.mark.parametrize("kind", NEEDED, ids=lambda kind: kind.__module__)


def settings(kind: type[ServiceSettings], directory: Path, variables: Mapping[str, str | None]) -> ServiceSettings:
    given: dict[str, Any] = {name.removeprefix("SYNAPSCALE_").lower(): value for name, value in variables.items()}
    return kind(_env_file=None, env="production", data_dir=directory, **given)


def named(kind: type[ServiceSettings], directory: Path, variables: Mapping[str, str | None]) -> set[str]:
    """The variables that production complains of."""
    try:
        settings(kind, directory, variables)
    except ValidationError as error:
        told = str(error)
        assert all(value is None or value not in told for value in variables.values()), "a refusal shows a secret"
        return {name for name in GOOD if name in told}
    return set()


@every_service
def test_production_starts_with_real_secrets(kind: type[ServiceSettings], tmp_path: Path) -> None:
    settings(kind, tmp_path, GOOD)


@every_service
def test_production_names_every_missing_secret_at_once(kind: type[ServiceSettings], tmp_path: Path) -> None:
    assert named(kind, tmp_path, {}) == NEEDED[kind]


@every_service
def test_production_asks_for_no_more_than_the_service_needs(kind: type[ServiceSettings], tmp_path: Path) -> None:
    settings(kind, tmp_path, {name: GOOD[name] for name in NEEDED[kind]})


@every_service
def test_secrets_that_were_generated_count_as_given(kind: type[ServiceSettings], tmp_path: Path) -> None:
    stored_secret(tmp_path, "secret_key")
    stored_secret(tmp_path, "admin_password", length=18)
    settings(kind, tmp_path, {DATABASE_URL: GOOD[DATABASE_URL]})


@every_service
def test_a_weak_file_is_refused_as_a_weak_variable_is(kind: type[ServiceSettings], tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("changeme")
    assert SECRET_KEY in named(kind, tmp_path, {})


@every_service
def test_a_weak_variable_is_not_made_good_by_a_file(kind: type[ServiceSettings], tmp_path: Path) -> None:
    stored_secret(tmp_path, "secret_key")
    assert SECRET_KEY in named(kind, tmp_path, {SECRET_KEY: "changeme-changeme-changeme-changeme"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (SECRET_KEY, "tooFew-9xQ2"),
        (SECRET_KEY, "changeme-changeme-changeme-changeme"),
        (SECRET_KEY, "please-change-me-to-a-long-random-string"),
        (SECRET_KEY, "<your-very-secret-key-goes-here-32-characters>"),
        (SECRET_KEY, "replace-this-with-a-secret-of-production"),
        (SECRET_KEY, "0123456789abcdef0123456789abcdef"),
        (SECRET_KEY, "a" * 64),
        (SECRET_KEY, "abab" * 16),
        (ADMIN_PASSWORD, "admin-password"),
        (ADMIN_PASSWORD, "password123456"),
        (ADMIN_PASSWORD, "synapscale-admin"),
        (DATABASE_URL, "postgresql://synapscale:synapscale-development@db/x"),
        (DATABASE_URL, "postgresql://synapscale:postgres@db/x"),
        (DATABASE_URL, "postgresql://synapscale@db/x"),
    ],
)
def test_production_refuses_a_weak_secret_and_names_it(variable: str, value: str, tmp_path: Path) -> None:
    assert named(auth_service.settings.Settings, tmp_path, GOOD | {variable: value}) == {variable}


def test_no_generated_secret_is_ever_refused(tmp_path: Path) -> None:
    for number in range(500):
        assert not is_weak(stored_secret(tmp_path, f"key-{number}"), shortest=32)
        assert not is_weak(stored_secret(tmp_path, f"password-{number}", length=18), shortest=12)


@pytest.mark.parametrize("module", MODULES)
def test_the_process_of_a_service_ends_with_what_is_wrong_and_shows_no_secret(module: str, tmp_path: Path) -> None:
    weak = {SECRET_KEY: "hidden-word", DATABASE_URL: "postgresql://a:hidden-word@db/x", ADMIN_PASSWORD: "hidden-word"}
    done = subprocess.run(
        [sys.executable, "-m", "shared.server", f"{module}.main:app", "--port", "1"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "SYNAPSCALE_ENV": "production", **weak},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert {name for name in GOOD if name in told} == NEEDED[MODULES[module]]
    assert "hidden-word" not in told
