"""Encryption at rest, under a key derived from SYNAPSCALE_SECRET_KEY."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.derivation import SIGNING_KEYS, derived_key

NONCE_BYTES = 12


class CannotUnseal(Exception):
    """The secret is not the one under which this was sealed, or the bytes were changed."""


class Seal:
    """AES-256-GCM; a sealed value is its nonce and then its ciphertext."""

    def __init__(self, secret: str) -> None:
        self._cipher = AESGCM(derived_key(secret, purpose=SIGNING_KEYS))

    def seal(self, value: bytes, *, bound_to: str) -> bytes:
        """`bound_to` must be given again to open it, so that a value cannot be moved to another row."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, bound_to.encode())

    def unseal(self, sealed: bytes, *, bound_to: str) -> bytes:
        """Raises CannotUnseal."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to.encode())
        except InvalidTag:
            raise CannotUnseal from None
