"""Access tokens for tests, signed with a key of the tests' own, and a stand-in for auth-service that publishes it."""

import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm

from shared.auth import KeySource
from shared.auth.tokens import ALGORITHM, AUDIENCE, TOKEN_TYPE
from shared.errors import DomainError, install_error_handlers
from shared.ids import new_id
from shared.upstreams import InProcessUpstream

ISSUER = "http://localhost:8000"
KID = "test-key"
ALL_SCOPES = "llm:read llm:invoke chat:read chat:write usage:read"

SECRET = "s3cret-of-the-tests-and-of-nobody-else"
"""SYNAPSCALE_SECRET_KEY, for services that must not look for one in a data directory."""

PRIVATE_KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_JWK: dict[str, Any] = {
    **ECAlgorithm.to_jwk(PRIVATE_KEY.public_key(), as_dict=True),
    "kid": KID,
    "alg": ALGORITHM,
    "use": "sig",
}


class StaticKeys(KeySource):
    """Knows the tests' key, and no other."""

    async def find(self, kid: str) -> PyJWK | None:
        return PyJWK(PUBLIC_JWK) if kid == KID else None


WHOLE_RUN = int(time.time()) + 6 * 3600
"""`exp` of a token that is made when the tests are collected, and may be shown an hour later."""


def make_token(
    *,
    scopes: str = ALL_SCOPES,
    user_id: str = "usr_test",
    organization_id: str = "org_test",
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A token as auth-service would make it; `claims` and `headers` overwrite, and None removes."""
    now = int(time.time())
    all_claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user_id,
        "client_id": "synapscale",
        "iat": now,
        "exp": now + 900,
        "jti": new_id("tok"),
        "scope": scopes,
        "sid": "ses_test",
        "org": organization_id,
    } | claims
    header = {"typ": TOKEN_TYPE, "kid": KID} | (headers or {})
    present = {name: value for name, value in all_claims.items() if value is not None}
    return jwt.encode(present, PRIVATE_KEY, algorithm=ALGORITHM, headers=header)


def bearer(**token: Any) -> dict[str, str]:
    """The header that shows `make_token(**token)`."""
    return {"authorization": f"Bearer {make_token(**token)}"}


def auth_stub() -> InProcessUpstream:
    """Publishes the tests' key, as auth-service publishes its own, has revoked nothing, and exchanges nothing."""
    app = FastAPI()

    @app.get("/.well-known/jwks.json")
    async def jwks() -> dict[str, Any]:
        return {"keys": [PUBLIC_JWK]}

    @app.get("/internal/auth/revocations")
    async def revocations() -> dict[str, Any]:
        return {"data": [], "next": None}

    @app.post("/internal/auth/token")
    async def refuse() -> None:
        raise SubjectTokenRefused

    install_error_handlers(app)
    return InProcessUpstream("auth", app=app)


class SubjectTokenRefused(DomainError):
    status, code = 400, "subject_token_refused"
