"""What CI makes of the audit of dependencies: a vulnerability is fatal, and silence is never a pass."""

import json
import runpy
from typing import Any

import pytest

from tests.e2e.readme import ROOT

JUDGE = runpy.run_path(str(ROOT / ".ci" / "audit.py"))["judge"]
GOOD = {"name": "anyio", "version": "4.12.0", "vulns": []}
WEAK = {
    "name": "alembic",
    "version": "1.20.1",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["9.9"], "aliases": ["CVE-2026-1"], "description": "d"}],
}
UNKNOWN = {"name": "redis", "skip_reason": "Dependency not found on PyPI and could not be audited: redis (8.1.0)"}
NOBODY = "Traceback (most recent call last):\nrequests.exceptions.ProxyError: HTTPSConnectionPool(host='pypi.org')\n"
BROKEN = "ERROR:pip_audit._cli:requirement anyio does not contain a hash\n"


def judge(*packages: dict[str, Any]) -> tuple[int, str]:
    code, words = JUDGE(json.dumps({"dependencies": packages, "fixes": []}), complaint="")
    return code, words


def test_nothing_known_passes() -> None:
    assert judge(GOOD, GOOD) == (0, "2 packages, none with a known vulnerability")


@pytest.mark.parametrize("others", [[GOOD], [GOOD, UNKNOWN], [UNKNOWN]])
def test_a_known_vulnerability_fails_and_is_named(others: list[dict[str, Any]]) -> None:
    code, words = judge(WEAK, *others)
    assert code == 1
    assert "alembic 1.20.1: PYSEC-2026-1, CVE-2026-1, mended in ['9.9']" in words


def test_a_package_that_the_index_does_not_know_among_others_fails() -> None:
    assert judge(GOOD, UNKNOWN) == (1, UNKNOWN["skip_reason"])


def test_an_index_that_knows_nothing_has_not_audited_and_is_no_pass() -> None:
    code, words = judge(UNKNOWN, UNKNOWN)
    assert code == 75
    assert words.startswith("NOT AUDITED: the index knows none of 2 packages")
    assert judge()[0] == 1


def test_an_index_that_cannot_be_reached_is_said_and_any_other_failure_fails() -> None:
    assert JUDGE("", complaint=NOBODY) == (75, "NOT AUDITED: " + NOBODY.splitlines()[-1])
    assert JUDGE("", complaint=BROKEN) == (1, "NOT AUDITED: " + BROKEN.strip())
