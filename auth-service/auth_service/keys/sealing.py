"""Encryption at rest, under keys derived from SYNAPSCALE_SECRET_KEY: one for each purpose, none for two."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SIGNING_KEYS = b"synapscale/v1/signing-keys"
NONCE_BYTES = 12


class CannotUnseal(Exception):
    """The secret is not the one under which this was sealed, or the bytes were changed."""


class Seal:
    """AES-256-GCM under HKDF-SHA256(secret, info=purpose); a sealed value is its nonce and then its ciphertext."""

    def __init__(self, secret: str, *, purpose: bytes) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())
        self._cipher = AESGCM(key)

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
