"""auth-service's public keys, as the other services see them."""

import asyncio
import time

import httpx2
from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

from shared.auth.tokens import ALGORITHM, KeySource
from shared.errors import Unavailable
from shared.upstreams import Upstream

FRESH_FOR = 300.0
"""Seconds for which fetched keys are taken as they are."""
ASK_AGAIN_AFTER = 5.0
"""Seconds between two fetches for keys that are not there, however many tokens name them."""


class RemoteKeys(KeySource):
    """The JWKS of auth-service, fetched when needed and kept; old keys stay good while it cannot be reached."""

    def __init__(self, auth: Upstream) -> None:
        self._auth = auth
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = -FRESH_FOR
        self._asked_at = -ASK_AGAIN_AFTER
        self._fetching = asyncio.Lock()

    async def find(self, kid: str) -> PyJWK | None:
        if self._is_due(kid):
            async with self._fetching:
                if self._is_due(kid):
                    await self._fetch()
        return self._keys.get(kid)

    def _is_due(self, kid: str) -> bool:
        now = time.monotonic()
        stale = now - self._fetched_at > FRESH_FOR or kid not in self._keys
        return stale and (now - self._asked_at > ASK_AGAIN_AFTER or not self._keys)

    async def _fetch(self) -> None:
        self._asked_at = time.monotonic()
        try:
            response = await self._auth.client().get("/.well-known/jwks.json", timeout=5)
            response.raise_for_status()
            keys = PyJWKSet.from_dict(response.json()).keys
        except (httpx2.HTTPError, PyJWTError, ValueError) as error:
            if not self._keys:
                raise Unavailable("Tokens cannot be checked: auth-service does not answer.") from error
            return
        self._keys = {str(key.key_id): key for key in keys if key.algorithm_name == ALGORITHM}
        self._fetched_at = time.monotonic()
