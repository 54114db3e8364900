"""Keys derived from SYNAPSCALE_SECRET_KEY: one for each purpose, none for two."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SIGNING_KEYS = "signing-keys"
REFRESH_TOKENS = "refresh-tokens"
LOGIN_THROTTLES = "login-throttles"
SERVICE_KEY = "service-key/"
"""Followed by the name of the service."""


def derived_key(secret: str, *, purpose: str, version: int = 1) -> bytes:
    """32 bytes by HKDF-SHA256 (RFC 5869); who knows one of them learns nothing of the secret or of the others."""
    info = f"synapscale/v{version}/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret.encode())
