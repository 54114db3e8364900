"""Access tokens: ES256 `at+jwt` (RFC 9068), verified with one algorithm and only our own keys."""

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import msgspec
from jwt import PyJWK

from shared.auth.policy import Policy
from shared.auth.principal import Principal, bearer
from shared.auth.revocations import Revocations
from shared.errors import Unauthorized

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 # a media type, not a secret
AUDIENCE = "synapscale"
REQUIRED_CLAIMS = ["iss", "aud", "sub", "client_id", "iat", "exp", "jti", "scope", "sid", "org"]
LONGEST_TOKEN = 8192
CLOCK_SKEW = 5
"""Seconds by which the clocks of two hosts may differ."""
REMEMBERED_FOR = 60.0
"""Seconds for which a token that was verified is taken as verified."""
REMEMBERED_TOKENS = 10_000


class KeySource(ABC):
    """Where verification keys come from."""

    @abstractmethod
    async def find(self, kid: str) -> PyJWK | None:
        """The public key of that id, or None if it is not one of ours. Raises Unavailable if nobody can say."""


class TokenVerifier:
    """Turns an Authorization header into a Principal, or raises Unauthorized.

    It remembers what it has verified; whether it was revoked is asked each time.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        revocations: Revocations | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._revocations = Revocations() if revocations is None else revocations
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    async def principal_of(self, authorization: str | None) -> Principal:
        """Raises Unauthorized where the header is missing, is not a bearer token, or the token does not hold."""
        token = bearer_token(authorization)
        if token is None:
            raise Unauthorized("Send an access token: Authorization: Bearer <token>.")
        return await self.verify(token)

    async def verify(self, token: str) -> Principal:
        """Checks signature, type, issuer, audience, times, the presence of every claim, and revocation."""
        if (known := self.remembered(bearer(token))) is not None:
            return known
        if len(token) > LONGEST_TOKEN:
            raise _invalid("The access token is too long.")
        principal = _principal(await self._claims(token), token=token)
        self._remember(principal)
        if self._revocations.is_revoked(principal):
            raise _revoked()
        return principal

    def remembered(self, authorization: bytes) -> Principal | None:
        """Whom that header shows, if its token was verified a short while ago. Raises Unauthorized where it was revoked
        since. Nearly every request is answered for by this one look."""
        found = self._verified.get(authorization)
        if found is None:
            return None
        principal, until = found
        if self._clock() >= until:
            del self._verified[authorization]
            return None
        self._verified.move_to_end(authorization)
        if self._revocations.is_revoked(principal):
            raise _revoked()
        return principal

    def _remember(self, principal: Principal) -> None:
        """Until it expires at the latest; in the leeway after that, it is verified each time."""
        seconds = min(REMEMBERED_FOR, principal.expires_at - time.time())
        if seconds <= 0:
            return
        self._verified[principal.authorization] = principal, self._clock() + seconds
        if len(self._verified) > REMEMBERED_TOKENS:
            self._verified.popitem(last=False)

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != ALGORITHM or str(header.get("typ", "")).lower() != TOKEN_TYPE:
                raise _invalid("The access token is not of the expected type.")
            key = await self._keys.find(str(header.get("kid", "")))
            if key is None:
                raise _invalid("The access token was signed with an unknown key.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                leeway=CLOCK_SKEW,
                options={"require": REQUIRED_CLAIMS},
            )
        except jwt.ExpiredSignatureError:
            raise _invalid("The access token has expired.") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _invalid("The access token is not valid.") from None
        if not all(isinstance(claims[name], str) for name in ("sub", "org", "sid", "scope")):
            raise _invalid("The access token is not valid.")
        return claims


def bearer_token(authorization: str | None) -> str | None:
    """The credential of an `Authorization: Bearer …` header (RFC 6750 §2.1), or None if it is not one."""
    scheme, _, credential = (authorization or "").partition(" ")
    credential = credential.strip(" \t")
    return credential if scheme.lower() == "bearer" and credential else None


def _principal(claims: Mapping[str, Any], *, token: str) -> Principal:
    return Principal(
        user_id=claims["sub"],
        organization_id=claims["org"],
        session_id=claims["sid"],
        scopes=frozenset(claims["scope"].split()),
        issued_at=int(claims["iat"]),
        expires_at=int(claims["exp"]),
        token=token,
        policy=_policy(claims),
        actor=_actor(claims),
    )


def _policy(claims: Mapping[str, Any]) -> Policy:
    try:
        return msgspec.convert(claims.get("policy", {}), Policy, strict=False)
    except msgspec.ValidationError:
        raise _invalid("The access token is not valid.") from None


def _actor(claims: Mapping[str, Any]) -> str | None:
    """Who acts for the subject (RFC 8693 §4.1)."""
    match claims.get("act"):
        case None:
            return None
        case {"sub": str(actor)}:
            return actor
        case _:
            raise _invalid("The access token is not valid.")


def _revoked() -> Unauthorized:
    return _invalid("The access token has been revoked.")


def _invalid(detail: str) -> Unauthorized:
    return Unauthorized(detail, error="invalid_token")
