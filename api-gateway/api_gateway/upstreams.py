"""Which service answers which path, and who may ask: the table that is the gateway."""

from typing import NamedTuple

SERVICES = ("auth", "llm", "chat")


class Route(NamedTuple):
    """A row: what is under `prefix` is answered by `service`."""

    prefix: str
    service: str
    public: bool = False
    """Whether it may be asked without a credential."""


TABLE = (
    Route("/.well-known/jwks.json", "auth", public=True),
    Route("/.well-known/oauth-authorization-server", "auth", public=True),
    Route("/api/auth/token", "auth", public=True),
    Route("/api/auth/revoke", "auth", public=True),
    Route("/api/auth", "auth"),
    Route("/api/llm", "llm"),
    Route("/v1", "llm"),
    Route("/api/chat", "chat"),
)
_LONGEST_FIRST = sorted(TABLE, key=lambda route: -len(route.prefix))


def find_route(path: str) -> Route | None:
    """The row with the longest prefix of whole segments: `/v1x` is not under `/v1`."""
    for route in _LONGEST_FIRST:
        if path == route.prefix or path.startswith(route.prefix + "/"):
            return route
    return None
