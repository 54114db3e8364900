"""Tokens of another issuer: which hold, which do not, and what happens when the issuer changes or goes away."""

import asyncio
import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import RSAKey

from auth_service.exchange.errors import SubjectTokenRefused
from auth_service.external.issuer import ASK_AGAIN_AFTER, FRESH_FOR, GOOD_FOR, Issuer
from auth_service.external.schemas import OidcIssuer
from shared.errors import Unavailable
from tests.auth_service.external.conftest import Trusting, claims_for, exchange, is_refused
from tests.auth_service.external.oidc import AUDIENCE, OidcProvider, new_key
from tests.auth_service.test_me import hmac_token


async def test_a_token_is_exchanged_for_one_of_ours(auth: httpx2.AsyncClient, issuer: OidcProvider) -> None:
    claims = await claims_for(auth, issuer.token(exp=int(time.time()) + 90))
    assert claims["org"] == "org_acme"
    assert claims["sid"].startswith("ses_")
    assert claims["exp"] <= time.time() + 90
    me = await auth.get("/api/auth/me", headers={"authorization": f"Bearer {await ours(auth, issuer.token())}"})
    assert me.json()["username"] == "alice"
    assert me.json()["email"] == "alice@example.org"
    assert me.json()["role"] == "member"


async def ours(auth: httpx2.AsyncClient, token: str) -> str:
    return str((await exchange(auth, token)).json()["access_token"])


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_every_allowed_algorithm_is_taken(auth: httpx2.AsyncClient, issuer: OidcProvider, algorithm: str) -> None:
    issuer.keys = [new_key(algorithm)]
    assert (await claims_for(auth, issuer.token()))["org"] == "org_acme"


async def test_what_does_not_hold_is_refused(auth: httpx2.AsyncClient, issuer: OidcProvider) -> None:
    now = int(time.time())
    good = issuer.token()
    assert (await exchange(auth, good)).status_code == 200
    head, body, _ = good.split(".")
    tokens = {
        "wrong audience": issuer.token(aud="another-client"),
        "expired": issuer.token(exp=now - 60),
        "not yet valid": issuer.token(nbf=now + 60),
        "from the future": issuer.token(iat=now + 60),
        "another key under its kid": issuer.token(key=new_key()),
        "an unknown kid": issuer.token(kid="two"),
        "unknown issuer": issuer.token(iss="http://127.0.0.1:1"),
        "almost the issuer": issuer.token(iss=issuer.url + "/"),
        "no issuer": issuer.odd_token({}, without="iss"),
        "no subject": issuer.odd_token({}, without="sub"),
        "no expiry": issuer.odd_token({}, without="exp"),
        "no audience": issuer.odd_token({}, without="aud"),
        "a subject with NUL": issuer.token("a\0b"),
        "an endless subject": issuer.token("a" * 256),
        "a logout token": issuer.odd_token({"typ": "logout+jwt"}),
        "truncated": good[:-5],
        "no signature": f"{head}.{body}.",
        "garbage": "a.b.c",
    }
    for name, token in tokens.items():
        assert await is_refused(auth, token), name


async def test_no_algorithm_is_confused_with_another(auth: httpx2.AsyncClient, issuer: OidcProvider) -> None:
    assert (await exchange(auth, issuer.token())).status_code == 200
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    public = issuer.keys[0].public_key
    header = {"typ": "JWT", "kid": "one", "alg": "HS256"}
    for encoding in (Encoding.PEM, Encoding.DER):
        secret = public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        assert await is_refused(auth, hmac_token(claims, secret, header))
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none", "typ": "JWT"}, claims)
    )
    assert await is_refused(auth, unsigned + ".")
    elsewhere = {"jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/x", "jwk": new_key().as_dict()}
    stranger = OidcProvider()
    stranger.url, stranger.keys = issuer.url, [new_key()]
    assert await is_refused(auth, stranger.odd_token(elsewhere))


async def test_an_algorithm_that_is_not_allowed_is_refused(trusting: Trusting, issuer: OidcProvider) -> None:
    async with trusting(algorithms=["ES256"]) as auth:
        assert await is_refused(auth, issuer.token())


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "kid": "one"},
        {"kty": "RSA", "kid": "one"},
        {"kty": 7, "kid": "one"},
        {"use": "enc"},
        {"alg": "RS512"},
    ],
)
async def test_a_published_key_that_is_not_fit_is_not_used(
    auth: httpx2.AsyncClient, issuer: OidcProvider, jwk: dict[str, Any]
) -> None:
    published = issuer.keys[0].as_dict(private=False)
    issuer.jwks = {"keys": [jwk if "kty" in jwk else published | jwk, "nonsense"]}
    assert await is_refused(auth, issuer.token())


@pytest.mark.filterwarnings("ignore")
async def test_a_short_rsa_key_is_not_used(auth: httpx2.AsyncClient, issuer: OidcProvider) -> None:
    issuer.keys = [RSAKey.generate_key(1024, {"kid": "one", "alg": "RS256", "use": "sig"})]
    assert await is_refused(auth, issuer.token())


async def test_an_issuer_that_says_it_is_another_gives_no_keys(auth: httpx2.AsyncClient, issuer: OidcProvider) -> None:
    issuer.metadata = {"issuer": "https://elsewhere.example"}
    assert (await exchange(auth, issuer.token())).status_code == 503


@pytest.mark.parametrize("address", ["http://192.0.2.1/jwks", "file:///etc/passwd", "ftp://127.0.0.1/", "", None])
async def test_keys_come_only_from_safe_addresses(
    auth: httpx2.AsyncClient, issuer: OidcProvider, address: str | None
) -> None:
    issuer.metadata = {"jwks_uri": address}
    assert (await exchange(auth, issuer.token())).status_code == 503


async def test_a_document_that_has_no_end_is_not_read_to_it(auth: httpx2.AsyncClient, issuer: OidcProvider) -> None:
    issuer.metadata = {"padding": "x" * 300_000}
    assert (await exchange(auth, issuer.token())).status_code == 503


class Clock:
    def __init__(self) -> None:
        self.now = 10_000.0

    def __call__(self) -> float:
        return self.now


async def checked(issuer: Issuer, token: str) -> str:
    try:
        return str((await issuer.claims_of(token))["sub"])
    except SubjectTokenRefused:
        return "refused"
    except Unavailable:
        return "unavailable"


async def test_keys_are_followed_when_the_issuer_rotates_and_kept_when_it_is_away(issuer: OidcProvider) -> None:
    """At the level of the class, as hours pass."""
    entry = OidcIssuer(issuer=issuer.url, audience=AUDIENCE, organization="org_acme", default_role="member")
    clock = Clock()
    async with httpx2.AsyncClient() as client:
        known = Issuer(entry, client=client, loopback=True, clock=clock)
        assert [await checked(known, issuer.token()) for _ in range(3)] == ["alice"] * 3
        assert issuer.asked == 1

        old, new = issuer.keys[0], new_key(kid="two")
        issuer.keys = [new, old]
        clock.now += ASK_AGAIN_AFTER + 1
        assert await checked(known, issuer.token()) == "alice"
        assert await checked(known, issuer.token(key=old)) == "alice"
        assert issuer.asked == 2

        unknown = [issuer.token(key=new_key(kid=f"kid {number}")) for number in range(5)]
        assert [await checked(known, token) for token in unknown] == ["refused"] * 5
        assert issuer.asked == 2

        issuer.keys = [new]
        clock.now += FRESH_FOR + 1
        assert await checked(known, issuer.token(key=old)) == "refused"

        issuer.is_down = True
        clock.now += GOOD_FOR - 60
        assert await checked(known, issuer.token()) == "alice"
        clock.now += 120
        assert await checked(known, issuer.token()) == "unavailable"
        issuer.is_down = False
        assert await checked(known, issuer.token()) == "unavailable"
        clock.now += ASK_AGAIN_AFTER + 1
        assert await checked(known, issuer.token()) == "alice"


async def test_while_the_issuer_is_down_the_answer_is_503(auth: httpx2.AsyncClient, issuer: OidcProvider) -> None:
    issuer.is_down = True
    answers = await asyncio.gather(*(exchange(auth, issuer.token(f"user{number}")) for number in range(10)))
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert issuer.asked == 1


async def test_no_token_stands_in_the_log(
    auth: httpx2.AsyncClient, issuer: OidcProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    token, late = issuer.token(), issuer.token(exp=int(datetime.now(UTC).timestamp()) - 60)
    await exchange(auth, token)
    await exchange(auth, late)
    written = "".join(capsys.readouterr())
    assert token.split(".")[2] not in written
    assert late.split(".")[2] not in written
