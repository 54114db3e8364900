"""Forged and broken access tokens, shown to a running gateway: each is 401, and none reaches a service."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.api_gateway.conftest import Gateway
from tests.api_gateway.puppet import Puppet
from tests.simulators.http import nothing_listens
from tests.tokens import KID, PRIVATE_KEY, make_token

HEADER = {"typ": "at+jwt", "kid": KID}
STRANGER = ec.generate_private_key(ec.SECP256R1())


def claims(**changes: Any) -> dict[str, Any]:
    good = jwt.decode(make_token(), options={"verify_signature": False})
    return {**good, **changes}


def encoded(part: dict[str, Any] | bytes) -> str:
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def public_key(encoding: serialization.Encoding) -> bytes:
    return PRIVATE_KEY.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def hmac_signed(secret: bytes, header: dict[str, Any]) -> str:
    """PyJWT itself refuses to sign with a public key, so it is done by hand, as an attacker would."""
    import hashlib
    import hmac

    signing_input = f"{encoded({**header, 'alg': 'HS256'})}.{encoded(claims())}"
    return f"{signing_input}.{encoded(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"


def resigned(header: dict[str, Any], *, key: Any = STRANGER, algorithm: str = "ES256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers={**HEADER, **header})


def tampered() -> str:
    head, _, signature = make_token(scopes="llm:read").split(".")
    return f"{head}.{encoded(claims(scope='admin llm:invoke'))}.{signature}"


def without_signature() -> str:
    return make_token().rpartition(".")[0] + "."


def jwk_of(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    return jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)


ATTACKS: dict[str, Callable[[], str]] = {
    "alg none": lambda: f"{encoded({**HEADER, 'alg': 'none'})}.{encoded(claims())}.",
    "alg None": lambda: f"{encoded({**HEADER, 'alg': 'None'})}.{encoded(claims())}.",
    "alg none with a signature": lambda: (
        f"{encoded({**HEADER, 'alg': 'none'})}.{encoded(claims())}.{make_token().rpartition('.')[2]}"
    ),
    "HS256 with the public key as PEM": lambda: hmac_signed(public_key(serialization.Encoding.PEM), HEADER),
    "HS256 with the public key as DER": lambda: hmac_signed(public_key(serialization.Encoding.DER), HEADER),
    "HS256 with an empty key": lambda: hmac_signed(b"", HEADER),
    "another key under our kid": lambda: resigned({}),
    "a kid that nobody has": lambda: resigned({"kid": "0" * 32}),
    "a kid that is a path": lambda: resigned({"kid": "../../../dev/null"}),
    "a kid that is SQL": lambda: resigned({"kid": "' OR '1'='1"}),
    "a key of its own in the header": lambda: resigned({"kid": "mine", "jwk": jwk_of(STRANGER)}),
    "RS256": lambda: resigned({}, key=rsa.generate_private_key(65537, 2048), algorithm="RS256"),
    "ES384": lambda: resigned({}, key=ec.generate_private_key(ec.SECP384R1()), algorithm="ES384"),
    "an ID token's type": lambda: make_token(headers={"typ": "JWT"}),
    "no type": lambda: make_token(headers={"typ": None}),
    "expired": lambda: make_token(exp=int(time.time()) - 60),
    "expired by our skew and a second": lambda: make_token(exp=int(time.time()) - 6),
    "not yet valid": lambda: make_token(nbf=int(time.time()) + 60),
    "issued in the future": lambda: make_token(iat=int(time.time()) + 3600),
    "another issuer": lambda: make_token(iss="http://localhost:8000.evil.example"),
    "no issuer": lambda: make_token(iss=None),
    "another audience": lambda: make_token(aud="synapscale-elsewhere"),
    "no expiry": lambda: make_token(exp=None),
    "an expiry in words": lambda: make_token(exp="tomorrow"),
    "an endless expiry": lambda: make_token(exp=1e400),
    "a subject that is a list": lambda: make_token(sub=["usr_a", "usr_b"]),
    "a policy that is none": lambda: make_token(policy={"models": 7}),
    "an actor that is none": lambda: make_token(act="service:chat"),
    "a changed payload": tampered,
    "no signature": without_signature,
    "half a signature": lambda: make_token()[:-40],
    "a signature with a byte more": lambda: make_token() + "AA",
    "two parts": lambda: make_token().rpartition(".")[0],
    "five parts": lambda: make_token() + ".a.b",
    "NUL inside": lambda: make_token().replace(".", ".\0", 1).replace("\0", "%00"),
    "9 KB": lambda: make_token(filler="x" * 9000),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_forged_token_is_401_and_reaches_no_service(gateway: Gateway, puppet: Puppet, attack: str) -> None:
    headers = {"authorization": f"Bearer {ATTACKS[attack]()}"}
    async with gateway() as client:
        answer = await client.post("/api/llm/length", content=b"1234", headers=headers)
        openai = await client.get("/v1/models", headers=headers)
    assert answer.status_code == openai.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthorized"
    assert puppet.received == []


@pytest.mark.parametrize("claim", ["jku", "x5u"])
async def test_keys_that_a_token_points_to_are_not_fetched(gateway: Gateway, claim: str) -> None:
    fetched = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fetched.set()
        writer.close()

    attacker = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = attacker.sockets[0].getsockname()[1]
    token = resigned({"kid": "mine", claim: f"http://127.0.0.1:{port}/jwks.json"})
    async with attacker, gateway() as client:
        answer = await client.get("/v1/models", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert not fetched.is_set()


async def test_a_megabyte_of_token_is_refused_and_the_connection_lives_for_others(gateway: Gateway) -> None:
    async with gateway() as client:
        try:
            answer = await client.get("/v1/models", headers={"authorization": "Bearer " + "x" * (1 << 20)})
            assert answer.status_code in (400, 401, 431)
        except httpx2.TransportError:
            pass  # the server may hang up on a head of that size
        assert (await client.get("/health/live")).status_code == 200


async def test_keys_that_cannot_be_fetched_are_503_and_not_a_pass() -> None:
    from shared.upstreams import HttpUpstream
    from tests.api_gateway.conftest import gateway_over, silent_service

    with nothing_listens() as nowhere:
        auth = HttpUpstream("auth", url=nowhere)
        async with gateway_over(auth, silent_service("llm"), silent_service("chat")) as client:
            answer = await client.get("/v1/models")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
