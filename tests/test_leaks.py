"""The search for secrets finds them, in what tests log as well."""

from pathlib import Path

import pytest

from shared.auth.services import service_key
from shared.secrets import stored_secret
from tests.leaks import leaks, pytest_runtest_makereport, secrets_of
from tests.tokens import make_token


def test_each_kind_of_secret_is_found_and_not_repeated() -> None:
    token = make_token()
    for said in (
        token,
        "sk-syn-" + "a" * 43,
        "$argon2id$v=19$m=19456",
        "-----BEGIN PRIVATE KEY-----",
        "Basic " + "a" * 40,
    ):
        assert leaks(f'{{"event": "{said}"}}'), said
        assert said not in str(leaks(said))
    assert leaks("a plain line: Bearer realm, basic things, sk-syn-") == []


def test_a_known_secret_is_found(tmp_path: Path) -> None:
    password = stored_secret(tmp_path, "admin_password")
    root = stored_secret(tmp_path, "secret_key")
    known = secrets_of(tmp_path, {"OPENAI_API_KEY": "sk-provider-1"})
    assert {password, root, "sk-provider-1", service_key(root, "chat")} <= known
    assert leaks(f"log in with {password}", known)
    assert leaks("nothing of it", known) == []


@pytest.mark.parametrize(("said", "outcome"), [("nothing", "passed"), ("$argon2id$v=19", "failed")])
def test_a_test_that_logs_a_secret_fails(said: str, outcome: str) -> None:
    hook = pytest_runtest_makereport()
    next(hook)
    sections = [("Captured log call", said)]
    report = pytest.TestReport("tests/x.py", ("x", 1, "x"), {}, "passed", None, "call", sections)
    with pytest.raises(StopIteration) as returned:
        hook.send(report)
    assert returned.value.value.outcome == outcome
