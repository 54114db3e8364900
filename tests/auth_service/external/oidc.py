"""A real OIDC issuer on a socket, built from Authlib: discovery, JWKS, and tokens that it signs."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from authlib.oidc.core.grants.util import generate_id_token
from authlib.oidc.discovery import OpenIDProviderMetadata
from fastapi import FastAPI, HTTPException
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from tests.serving import served

Key = Any  # one of joserfc's, in which Authlib keeps its keys
AUDIENCE = "synapscale-clients"


def new_key(algorithm: str = "RS256", kid: str = "one") -> Key:
    parameters: Any = {"kid": kid, "alg": algorithm, "use": "sig"}
    match algorithm:
        case "ES256":
            return ECKey.generate_key("P-256", parameters)
        case "EdDSA":
            return OKPKey.generate_key("Ed25519", parameters)
        case _:
            return RSAKey.generate_key(2048, parameters)


class OidcProvider:
    """`keys` are published; the first one signs. What it was asked is counted, and it can be broken in every way."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[Key] = [new_key()]
        self.asked = 0
        self.is_down = False
        self.metadata: dict[str, Any] = {}
        self.jwks: dict[str, Any] | None = None
        self.app = FastAPI(openapi_url=None)
        self.app.get("/.well-known/openid-configuration")(self._discovery)
        self.app.get("/jwks")(self._jwks)

    async def _discovery(self) -> dict[str, Any]:
        self.asked += 1
        if self.is_down:
            raise HTTPException(503)
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return {**OpenIDProviderMetadata(document), **self.metadata}

    async def _jwks(self) -> dict[str, Any]:
        return self.jwks or dict(KeySet(self.keys).as_dict(private=False))

    def token(self, subject: str = "alice", *, key: Key | None = None, kid: str | None = None, **claims: Any) -> str:
        """An ID token as Authlib makes it; `claims` overwrite."""
        signing = key or self.keys[0]
        user = {
            "sub": subject,
            "preferred_username": subject,
            "email": f"{subject}@example.org",
            "email_verified": True,
        }
        token: str = generate_id_token(
            {}, user | claims, signing, self.url, AUDIENCE, alg=signing.get("alg"), exp=600, kid=kid or signing.kid
        )
        return token

    def odd_token(self, header: dict[str, Any], *, without: str = "", **claims: Any) -> str:
        """What Authlib would not make: another header, or a claim left out."""
        now = int(time.time())
        everything = {"iss": self.url, "sub": "alice", "aud": AUDIENCE, "iat": now, "exp": now + 600} | claims
        everything.pop(without, None)
        return jwt.encode({"alg": "RS256", "kid": self.keys[0].kid} | header, everything, self.keys[0])


@asynccontextmanager
async def provider() -> AsyncIterator[OidcProvider]:
    """Runs while the block lasts."""
    issuer = OidcProvider()
    async with served(issuer.app) as url:
        issuer.url = url
        yield issuer
