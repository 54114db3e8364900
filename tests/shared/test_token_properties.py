"""Whatever stands in an Authorization header is a principal or Unauthorized, and never anything else."""

import asyncio
import json
import string
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.auth import Principal, TokenVerifier
from shared.auth.tokens import ALGORITHM, LONGEST_TOKEN, TOKEN_TYPE
from shared.errors import Unauthorized
from tests.tokens import ISSUER, KID, PRIVATE_KEY, WHOLE_RUN, StaticKeys, make_token

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CLAIMS = st.sampled_from(
    ["iss", "aud", "sub", "client_id", "iat", "nbf", "exp", "jti", "scope", "sid", "org", "policy", "act"]
)
BASE64 = string.ascii_letters + string.digits + "-_"
GOOD = make_token(exp=WHOLE_RUN)
DEEP = b"[" * 5000


def segment(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def verified(authorization: str | None) -> Principal | None:
    """None where it is refused; all else that is raised fails the test."""
    verifier = TokenVerifier(StaticKeys(), issuer=ISSUER)
    try:
        return asyncio.run(verifier.principal_of(authorization))
    except Unauthorized:
        return None


@given(st.none() | st.text() | st.binary().map(lambda sent: sent.decode("latin-1")))
def test_any_header_is_refused(authorization: str | None) -> None:
    assert verified(authorization) is None
    assert verified(f"Bearer {authorization}") is None


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=6))
def test_any_segments_are_refused(segments: list[bytes]) -> None:
    assert verified("Bearer " + ".".join(map(segment, segments))) is None


@given(header=JSON, claims=JSON, signature=st.binary(max_size=80))
def test_any_json_without_our_signature_is_refused(header: Any, claims: Any, signature: bytes) -> None:
    if isinstance(header, dict):
        header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": KID} | header
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    assert verified("Bearer " + ".".join(map(segment, parts))) is None


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("content", [DEEP, b'{"a":' * 1000, b"1" * 5000, b"\xff\xfe", b"null", b'{"alg":"ES256",'])
def test_json_that_is_hard_to_read_is_refused(place: int, content: bytes) -> None:
    segments = GOOD.split(".")
    segments[place] = segment(content)
    token = ".".join(segments)
    assert len(token) <= LONGEST_TOKEN
    assert verified(f"Bearer {token}") is None


@given(name=CLAIMS, value=JSON)
@example(name="exp", value=float("inf"))
@example(name="iat", value=float("nan"))
@example(name="policy", value={"requests_per_minute": 10**400})
def test_any_claim_even_signed_is_read_or_refused(name: str, value: Any) -> None:
    try:
        token = make_token(**{name: value})
    except TypeError:
        return  # such a token cannot even be made
    principal = verified(f"Bearer {token}")
    assert principal is None or isinstance(principal, Principal)


@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_signed_headers_name_our_key_or_are_refused(header: dict[str, Any]) -> None:
    try:
        token = make_token(headers=header)
    except (TypeError, ValueError, jwt.PyJWTError):
        return  # such a token cannot even be made
    assert isinstance(verified(f"Bearer {token}"), Principal)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(BASE64 + ".=~"))
def test_a_changed_character_is_refused_or_changes_nothing(place: int, character: str) -> None:
    """The last character of a segment holds bits that mean nothing."""
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    principal, good = verified(f"Bearer {changed}"), verified(f"Bearer {GOOD}")
    assert principal is None or (good is not None and principal.user_id == good.user_id)


def test_the_key_of_these_tests_is_what_signs() -> None:
    assert verified(f"Bearer {GOOD}") is not None
    assert jwt.decode(GOOD, PRIVATE_KEY.public_key(), algorithms=[ALGORITHM], audience="synapscale")["iss"] == ISSUER
