"""Secrets in what a program has said: known ones, and what looks like one."""

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from shared.auth.services import NAMES, service_key

KINDS = {
    "a token": re.compile(r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}"),
    "an API key": re.compile(r"sk-syn-[\w-]{16,}"),
    "a hash of a password": re.compile(r"\$argon2id\$"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "an Authorization header": re.compile(r"(?i)\b(?:bearer|basic) [\w+/=.~-]{24,}"),
}
SECRET_FILES = ("admin_password", "postgres_password", "secret_key")
_NAMED_SECRET = re.compile(r"KEY|PASSWORD|SECRET|TOKEN")


def leaks(text: str, secrets: Iterable[str] = ()) -> list[str]:
    """A description of each secret that the text holds, without the secret."""
    known = [f"the secret that begins with {secret[:4]!r}" for secret in set(secrets) if secret in text]
    return known + [kind for kind, pattern in KINDS.items() if pattern.search(text)]


def secrets_of(data_dir: Path, environment: Mapping[str, str] | None = None) -> set[str]:
    """What a platform was given or has made: its files, its variables, and what is derived for its services."""
    return {secret for secret in _secrets_of(data_dir, environment or {}) if len(secret) >= 8}


def _secrets_of(data_dir: Path, environment: Mapping[str, str]) -> Iterator[str]:
    for name in SECRET_FILES:
        if (data_dir / name).exists():
            yield (data_dir / name).read_text().strip()
    for name, value in environment.items():
        if _NAMED_SECRET.search(name):
            yield value
    root = environment.get("SYNAPSCALE_SECRET_KEY")
    if root is None and (data_dir / "secret_key").exists():
        root = (data_dir / "secret_key").read_text().strip()
    if root is not None:
        yield from (service_key(root, name) for name in NAMES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fails every test during which something that looks like a secret was logged or printed."""
    report = yield
    found = {leak for title, text in report.sections if title.startswith("Captured") for leak in leaks(text)}
    if found and report.outcome == "passed":
        report.outcome = "failed"
        report.longrepr = f"a secret was logged: {', '.join(sorted(found))}"
    return report
