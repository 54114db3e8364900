"""auth-service's public keys, as the other services see them."""

import asyncio
import time

import httpx2
import structlog
from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

from shared.auth.tokens import ALGORITHM, KeySource
from shared.errors import Unavailable
from shared.upstreams import Upstream

log = structlog.get_logger(__name__)

FRESH_FOR = 300.0
"""Seconds for which fetched keys are taken as they are."""
ASK_AGAIN_AFTER = 5.0
"""Seconds between two fetches for keys that are not there, however many tokens name them."""
ASK_AGAIN_AFTER_FAILURE = 1.0
TIME_LIMIT = 5.0


class RemoteKeys(KeySource):
    """The JWKS of auth-service, fetched when needed and kept; old keys stay good while it cannot be reached.

    One fetch serves all who wait for it, and nobody waits for a key that is known.
    """

    def __init__(self, auth: Upstream) -> None:
        self._auth = auth
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = -FRESH_FOR
        self._next_fetch_at = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._failed = False

    async def find(self, kid: str) -> PyJWK | None:
        known = self._keys.get(kid)
        if known is None or time.monotonic() - self._fetched_at > FRESH_FOR:
            fetching = self._fetch_if_due()
            if known is None and fetching is not None:
                await asyncio.shield(fetching)  # who leaves does not end it for the others
                known = self._keys.get(kid)
        if known is None and self._failed:
            raise Unavailable("Tokens cannot be checked: auth-service does not answer.")
        return known

    def _fetch_if_due(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, or due now."""
        if self._fetching is None and time.monotonic() >= self._next_fetch_at:
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            response = await self._auth.client().get("/.well-known/jwks.json", timeout=TIME_LIMIT)
            response.raise_for_status()
            keys = PyJWKSet.from_dict(response.json()).keys
        except (httpx2.HTTPError, PyJWTError, ValueError) as error:
            log.warning("auth-service does not give its keys", error=repr(error))
            self._failed = True
            self._next_fetch_at = time.monotonic() + ASK_AGAIN_AFTER_FAILURE
        else:
            self._keys = {str(key.key_id): key for key in keys if key.algorithm_name == ALGORITHM}
            self._failed = False
            self._fetched_at = time.monotonic()
            self._next_fetch_at = self._fetched_at + ASK_AGAIN_AFTER
        finally:
            self._fetching = None
