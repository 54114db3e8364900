"""Refresh tokens: opaque, and each one's successor is derived from it, so that it can be given twice."""

import base64
import hashlib
import hmac
import re
import secrets

from shared.derivation import REFRESH_TOKENS, derived_key

PREFIX = "rt-syn-"
_WELL_FORMED = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")


def new_refresh_token() -> str:
    """`rt-syn-` and 256 random bits in base64url."""
    return PREFIX + secrets.token_urlsafe(32)


def is_well_formed(token: str) -> bool:
    return _WELL_FORMED.fullmatch(token) is not None


def hash_of(token: str) -> bytes:
    """SHA-256, which is all that is kept: 256 random bits cannot be guessed from it."""
    return hashlib.sha256(token.encode()).digest()


class Succession:
    """HMAC-SHA256 under a derived key: nobody finds a successor from the token alone, or a token from its hash."""

    def __init__(self, secret: str) -> None:
        self._key = derived_key(secret, purpose=REFRESH_TOKENS)

    def successor_of(self, token: str) -> str:
        digest = hmac.digest(self._key, token.encode(), "sha256")
        return PREFIX + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
