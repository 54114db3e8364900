"""The keys that sign tokens, and the ring from which everyone verifies them."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import Origin, record
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
RELOAD_EVERY = 30.0
"""Seconds between two looks of each replica: whichever key is made, all replicas know it within a minute."""
PUBLISHED_BEFORE = timedelta(minutes=10)
"""How long a key is published before it signs: twice as long as anybody keeps a JWKS."""
OVERLAP = timedelta(minutes=20)
"""How long a key verifies after the next one signs: a token's life (15 min), and replicas that learn of it late."""
KEPT_AFTER = timedelta(days=1)
"""How long a retired key stays in the database, for whoever asks what happened."""
OPERATOR = "operator"
"""Who acts where somebody used the command line, in audit events."""


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


@dataclass(frozen=True, slots=True)
class Key:
    """A signing key, opened. It signs from `signs_from` until a newer one does; from `retires_at` on it is no key."""

    kid: str
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    public: PyJWK
    public_jwk: dict[str, Any]
    signs_from: datetime
    retires_at: datetime | None

    def is_retired(self, now: datetime) -> bool:
        return self.retires_at is not None and self.retires_at <= now


def opened(row: SigningKey, seal: Seal) -> Key:
    """Raises SecretKeyChanged."""
    try:
        pkcs8 = seal.unseal(row.sealed_private_key, bound_to=row.kid)
    except CannotUnseal:
        raise SecretKeyChanged from None
    private_key = serialization.load_der_private_key(pkcs8, password=None)
    assert isinstance(private_key, ec.EllipticCurvePrivateKey)
    return Key(
        kid=row.kid,
        private_key=private_key,
        public=PyJWK(row.public_jwk),
        public_jwk=row.public_jwk,
        signs_from=row.signs_from,
        retires_at=row.retires_at,
    )


class KeyRing(KeySource):
    """All signing keys, in memory. Which one signs and which are good is decided by the time of each question."""

    def __init__(self, sessions: Sessions, seal: Seal) -> None:
        self._sessions = sessions
        self._seal = seal
        self._keys: list[Key] = []
        self._looked_at = 0.0
        self._looking = asyncio.Lock()

    async def load(self) -> None:
        """Raises SecretKeyChanged; what was known before stays."""
        try:
            async with self._sessions() as session:
                rows = await repository.list_signing_keys(session)
        finally:  # a look that fails is a look too: a database in trouble is not asked at every request
            self._looked_at = time.monotonic()
        self._keys = [opened(row, self._seal) for row in rows]

    @property
    def signer(self) -> Key:
        """The newest key whose time to sign has come. Raises Unavailable where somebody has deleted all keys."""
        if not self._keys:
            raise Unavailable("There is no key to sign with; auth-service makes one when it starts.")
        now = datetime.now(UTC)
        due = (key for key in self._keys if key.signs_from <= now)
        return next(due, self._keys[-1])  # the first key of all may be a moment ahead of this host's clock

    @property
    def jwks(self) -> dict[str, Any]:
        """RFC 7517 §5: every key that is not retired, those too that are yet to sign."""
        now = datetime.now(UTC)
        return {"keys": [key.public_jwk for key in self._keys if not key.is_retired(now)]}

    async def find(self, kid: str) -> PyJWK | None:
        if self._is_due(kid):
            async with self._looking:
                if self._is_due(kid):
                    await self._look_again()
        key = self._known(kid)
        return None if key is None or key.is_retired(datetime.now(UTC)) else key.public

    def _known(self, kid: str) -> Key | None:
        return next((key for key in self._keys if key.kid == kid), None)

    def _is_due(self, kid: str) -> bool:
        return self._known(kid) is None and time.monotonic() - self._looked_at > LOOK_AGAIN_AFTER

    async def _look_again(self) -> None:
        """Raises Unavailable."""
        try:
            await self.load()
        except (OSError, SQLAlchemyError) as error:
            raise Unavailable("The token cannot be checked: the database does not answer.") from error


async def rotate(session: AsyncSession, seal: Seal, *, at_once: bool = False) -> SigningKey:
    """Makes a new key, which is published now and signs in `PUBLISHED_BEFORE`, or now; the others retire after it.

    Raises SecretKeyChanged, rather than make a key that no service could open.
    """
    await repository.lock_signing_keys(session)
    older = await repository.list_signing_keys(session)
    for row in older:
        opened(row, seal)
    now = await repository.database_time(session)
    key = make_signing_key(seal)
    key.created_at = now
    key.signs_from = now if at_once or not older else now + PUBLISHED_BEFORE
    await repository.retire_signing_keys(session, at=key.signs_from + OVERLAP)
    await repository.add_signing_key(session, key)
    record(session, "signing_key.rotate", origin=Origin(), actor=OPERATOR, target=key.kid)
    return key
