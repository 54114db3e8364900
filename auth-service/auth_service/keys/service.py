"""The keys that sign tokens, and the ring from which everyone verifies them."""

import asyncio
import time
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm
from sqlalchemy.exc import SQLAlchemyError

from auth_service.keys import repository
from auth_service.keys.models import SigningKey
from auth_service.keys.sealing import CannotUnseal, Seal
from shared.auth import KeySource
from shared.auth.tokens import ALGORITHM
from shared.database import Sessions
from shared.errors import Unavailable
from shared.ids import uuid7_hex

LOOK_AGAIN_AFTER = 5.0
"""Seconds between two looks into the database for a key that another replica may have made."""


class SecretKeyChanged(RuntimeError):
    """The stored signing keys cannot be read with today's SYNAPSCALE_SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(
            "The signing keys in the database were encrypted under another SYNAPSCALE_SECRET_KEY. Set the one that was "
            "used before; or, if it is lost, delete the rows of auth.signing_keys: the next start makes a new key, and "
            "everyone has to log in again."
        )


def make_signing_key(seal: Seal) -> SigningKey:
    """A new P-256 key, its private half sealed."""
    kid = uuid7_hex()
    private_key = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = private_key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = ECAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    return SigningKey(
        kid=kid,
        public_jwk={**public, "kid": kid, "alg": ALGORITHM, "use": "sig"},
        sealed_private_key=seal.seal(pkcs8, bound_to=kid),
    )


class KeyRing(KeySource):
    """All signing keys, in memory; the newest signs."""

    def __init__(self, sessions: Sessions, seal: Seal) -> None:
        self._sessions = sessions
        self._seal = seal
        self._public: dict[str, PyJWK] = {}
        self._looked_at = 0.0
        self._looking = asyncio.Lock()
        self.jwks: dict[str, Any] = {"keys": []}
        """RFC 7517 §5."""
        self.kid = ""
        self.private_key: ec.EllipticCurvePrivateKey

    async def load(self) -> None:
        """Raises SecretKeyChanged."""
        try:
            async with self._sessions() as session:
                keys = await repository.list_signing_keys(session)
        finally:  # a look that fails is a look too: a database in trouble is not asked at every request
            self._looked_at = time.monotonic()
        newest = keys[0]
        try:
            pkcs8 = self._seal.unseal(newest.sealed_private_key, bound_to=newest.kid)
        except CannotUnseal:
            raise SecretKeyChanged from None
        private_key = serialization.load_der_private_key(pkcs8, password=None)
        assert isinstance(private_key, ec.EllipticCurvePrivateKey)
        self.private_key, self.kid = private_key, newest.kid
        self._public = {key.kid: PyJWK(key.public_jwk) for key in keys}
        self.jwks = {"keys": [key.public_jwk for key in keys]}

    async def find(self, kid: str) -> PyJWK | None:
        if self._is_due(kid):
            async with self._looking:
                if self._is_due(kid):
                    await self._look_again()
        return self._public.get(kid)

    def _is_due(self, kid: str) -> bool:
        return kid not in self._public and time.monotonic() - self._looked_at > LOOK_AGAIN_AFTER

    async def _look_again(self) -> None:
        """Raises Unavailable."""
        try:
            await self.load()
        except (OSError, SQLAlchemyError) as error:
            raise Unavailable("The token cannot be checked: the database does not answer.") from error
