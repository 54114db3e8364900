"""Makes access tokens: ES256 `at+jwt` (RFC 9068), for a login, an API key or a grant."""

import time
from collections.abc import Iterable

import jwt
import msgspec

from auth_service.keys.service import KeyRing
from auth_service.tokens.schemas import Token
from shared.auth.policy import UNLIMITED, Policy
from shared.auth.revocations import LONGEST_LIFE
from shared.auth.tokens import ALGORITHM, AUDIENCE, TOKEN_TYPE
from shared.ids import new_id

LIFE = LONGEST_LIFE
"""Seconds that a token for a login or an API key lasts."""
CLIENT_ID = "synapscale"


class TokenIssuer:
    """Decides nothing: whoever calls has checked that the user may have these scopes."""

    def __init__(self, keys: KeyRing, *, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer

    def issue(
        self,
        user_id: str,
        *,
        organization_id: str,
        scopes: Iterable[str],
        session_id: str,
        life: int = LIFE,
        policy: Policy = UNLIMITED,
        actor: str | None = None,
    ) -> Token:
        """`session_id` is what a revocation names (`ses_…`, `key_…`, `gnt_…`); `actor` acts for the user (RFC 8693)."""
        now = int(time.time())
        scope = " ".join(scopes)
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": user_id,
            "client_id": actor or CLIENT_ID,
            "iat": now,
            "exp": now + life,
            "jti": new_id("tok"),
            "scope": scope,
            "sid": session_id,
            "org": organization_id,
        }
        if policy != UNLIMITED:
            claims["policy"] = msgspec.to_builtins(policy)
        if actor is not None:
            claims["act"] = {"sub": actor}
        signer = self._keys.signer
        header = {"typ": TOKEN_TYPE, "kid": signer.kid}
        signed = jwt.encode(claims, signer.private_key, algorithm=ALGORITHM, headers=header)
        return Token(access_token=signed, expires_in=life, scope=scope)
