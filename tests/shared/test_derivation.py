"""A key for each purpose: none opens what another was made for."""

import ast

import pytest

from shared.auth.services import NAMES
from shared.derivation import LOGIN_THROTTLES, REFRESH_TOKENS, SERVICE_KEY, SIGNING_KEYS, derived_key
from tests.test_architecture import name_of, parsed

PURPOSES = (SIGNING_KEYS, REFRESH_TOKENS, LOGIN_THROTTLES, *(SERVICE_KEY + name for name in NAMES))


def test_every_purpose_version_and_secret_has_a_key_of_its_own() -> None:
    keys = {
        derived_key(secret, purpose=purpose, version=version)
        for secret in ("a secret", "another")
        for purpose in PURPOSES
        for version in (1, 2)
    }
    assert len(keys) == 2 * len(PURPOSES) * 2
    assert {len(key) for key in keys} == {32}


def test_a_derived_key_stays_what_it_was() -> None:
    """Another one would open no signing key that is sealed, and end every login."""
    key = derived_key("a secret", purpose=SIGNING_KEYS)
    assert key.hex() == "dba1f71aa755516e0850e713d0f2e0371d530414a62f89877976c11868ec134c"


@pytest.mark.parametrize("purpose", ["SIGNING_KEYS", "REFRESH_TOKENS", "LOGIN_THROTTLES", "SERVICE_KEY"])
def test_a_purpose_is_one_modules_alone(purpose: str) -> None:
    using = [
        name_of(path)
        for path, tree in parsed()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "derived_key"
        if any(isinstance(node, ast.Name) and node.id == purpose for node in ast.walk(call))
    ]
    assert len(using) == 1, using
