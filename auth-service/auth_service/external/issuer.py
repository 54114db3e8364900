"""Another issuer's tokens, checked with the keys that it publishes (OpenID Connect Discovery 1.0, RFC 7517)."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

from auth_service.exchange.errors import SubjectTokenRefused
from auth_service.external.schemas import OidcIssuer, is_safe_address
from shared.auth.tokens import CLOCK_SKEW
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
FRESH_FOR = 300.0
"""Seconds for which fetched keys are taken as they are."""
ASK_AGAIN_AFTER = 5.0
"""Seconds between two fetches, however many tokens name unknown keys and however often the issuer fails."""
GOOD_FOR = 3600.0
"""Seconds for which the last keys are good while the issuer cannot be reached."""
TIMEOUT = 5.0
LARGEST_DOCUMENT = 256 * 1024
SHORTEST_RSA_KEY = 2048
KEY_TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
TOKEN_TYPES = ("", "jwt", "at+jwt", "application/at+jwt")
LONGEST_SUBJECT = 255


class Issuer:
    """One that is configured. It fetches no key but from where the issuer's own document says."""

    def __init__(
        self,
        trusted: OidcIssuer,
        *,
        client: httpx2.AsyncClient,
        loopback: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trusted = trusted
        self._client = client
        self._loopback = loopback
        self._clock = clock
        self._keys: list[Mapping[str, Any]] = []
        self._fetched_at = -GOOD_FOR
        self._asked_at = -GOOD_FOR
        self._fetching = asyncio.Lock()

    async def claims_of(self, token: str) -> dict[str, Any]:
        """Raises SubjectTokenRefused, or Unavailable where the issuer's keys cannot be had."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key_for(header)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[header["alg"]],
                audience=self.trusted.audience,
                issuer=self.trusted.issuer,
                leeway=CLOCK_SKEW,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            log.info("foreign token refused", issuer=self.trusted.issuer, why=type(error).__name__)
            raise SubjectTokenRefused("The token of the other issuer does not hold.") from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or "\0" in subject:
            raise SubjectTokenRefused("The token of the other issuer has no usable subject.")
        return claims

    async def _key_for(self, header: Mapping[str, Any]) -> PyJWK:
        """Raises PyJWTError."""
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self.trusted.algorithms:
            raise jwt.InvalidAlgorithmError("the algorithm is not allowed")
        if str(header.get("typ") or "").lower() not in TOKEN_TYPES:
            raise jwt.InvalidTokenError("this is no token of access or identity")
        fitting = self._fitting(algorithm, kid)
        age = self._clock() - self._fetched_at
        # While one request waits for an issuer that is slow, the others go on with the keys that are known.
        if not fitting or age > GOOD_FOR or (age > FRESH_FOR and not self._fetching.locked()):
            await self._fetch()
            fitting = self._fitting(algorithm, kid)
        if len(fitting) != 1:  # without a kid, only one key may come into question
            raise jwt.InvalidKeyError("the key is unknown")
        key = PyJWK(dict(fitting[0]), algorithm=algorithm)
        if isinstance(key.key, RSAPublicKey) and key.key.key_size < SHORTEST_RSA_KEY:
            raise jwt.InvalidKeyError("the key is too short")
        return key

    def _fitting(self, algorithm: str, kid: str | None) -> list[Mapping[str, Any]]:
        return [
            key
            for key in self._keys
            if key.get("kty") == KEY_TYPES[algorithm]
            and key.get("alg", algorithm) == algorithm
            and key.get("use", "sig") == "sig"
            and (kid is None or key.get("kid") == kid)
        ]

    async def _fetch(self) -> None:
        """Raises Unavailable where there are no keys that could still be good."""
        async with self._fetching:
            if self._clock() - self._asked_at > ASK_AGAIN_AFTER:
                self._asked_at = self._clock()
                try:
                    self._keys = await self._published_keys()
                    self._fetched_at = self._clock()
                except (httpx2.HTTPError, TimeoutError, ValueError) as error:
                    log.warning("issuer gives no keys", issuer=self.trusted.issuer, error=repr(error))
        if self._clock() - self._fetched_at > GOOD_FOR:
            raise Unavailable("The token cannot be checked: its issuer gives no keys.", retry_after=ASK_AGAIN_AFTER)

    async def _published_keys(self) -> list[Mapping[str, Any]]:
        async with asyncio.timeout(TIMEOUT):
            document = await self._read(self.trusted.issuer.rstrip("/") + DISCOVERY)
            if document.get("issuer") != self.trusted.issuer:
                raise ValueError("the document is another issuer's")
            keys = (await self._read(str(document.get("jwks_uri")))).get("keys")
        if not isinstance(keys, list):
            raise ValueError("the document has no keys")
        return [key for key in keys if isinstance(key, dict)]

    async def _read(self, url: str) -> dict[str, Any]:
        """Raises ValueError for what is too large or no JSON object; redirects are not followed."""
        if not is_safe_address(url, loopback=self._loopback):
            raise ValueError("the address is not https")
        async with self._client.stream("GET", url, headers={"accept": "application/json"}) as response:
            response.raise_for_status()
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > LARGEST_DOCUMENT:
                    raise ValueError(f"the document has more than {LARGEST_DOCUMENT} bytes")
        return msgspec.json.decode(body, type=dict)
