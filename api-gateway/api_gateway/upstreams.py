"""Which service answers which path, and who may ask: the table that is the gateway."""

from functools import lru_cache
from typing import NamedTuple

SERVICES = ("auth", "llm", "chat")
LARGEST_BODIES = {"auth": 64 * 1024}
"""Bytes, for services that take less than the gateway does: auth-service reads JSON of strangers, and a body of many
empty lists costs it thirty times its size in memory, and all others the time that it is read in."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Route(NamedTuple):
    """A row: what is under `prefix` is answered by `service`."""

    prefix: str
    service: str
    public: bool = False
    """Whether it may be asked without a credential."""
    read: str | None = None
    """The scope that GET and HEAD need; None leaves it to the service."""
    write: str | None = None
    """The scope that all other methods need."""
    api_key_header: bool = False
    """Whether `x-api-key` counts as a credential, as Anthropic's clients send it."""

    def scope_for(self, method: str) -> str | None:
        return self.read if method in READING else self.write


TABLE = (
    Route("/.well-known/jwks.json", "auth", public=True),
    Route("/.well-known/oauth-authorization-server", "auth", public=True),
    Route("/api/auth/token", "auth", public=True),
    Route("/api/auth/revoke", "auth", public=True),
    Route("/api/auth/register", "auth", public=True),
    Route("/api/auth", "auth"),
    Route("/api/llm", "llm", read="llm:read", write="llm:invoke"),
    Route("/api/llm/usage", "llm", read="usage:read", write="usage:read"),
    Route("/api/llm/requests", "llm", read="usage:read", write="usage:read"),
    Route("/api/llm/limits", "llm", read="usage:read", write="usage:read"),
    Route("/v1", "llm", read="llm:read", write="llm:invoke"),
    Route("/v1/messages", "llm", read="llm:read", write="llm:invoke", api_key_header=True),
    Route("/v1/models", "llm", read="llm:read", write="llm:invoke", api_key_header=True),
    Route("/api/chat", "chat", read="chat:read", write="chat:write"),
)
_LONGEST_FIRST = sorted(TABLE, key=lambda route: -len(route.prefix))


@lru_cache(maxsize=1024)
def find_route(path: str) -> Route | None:
    """The row with the longest prefix of whole segments: `/v1x` is not under `/v1`."""
    for route in _LONGEST_FIRST:
        if path == route.prefix or path.startswith(route.prefix + "/"):
            return route
    return None
