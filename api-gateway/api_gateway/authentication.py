"""The gateway's one seam for credentials: what comes in is a bearer token, or nobody."""

from starlette.types import Scope

from shared.auth import Principal, TokenVerifier


class Authentication:
    """Each service verifies the token again: nothing behind the gateway is believed because of where it came from."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def principal_of(self, scope: Scope) -> Principal:
        """Raises Unauthorized, or Unavailable where nobody can tell which keys are good."""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        authorization = given[0].decode("latin-1") if len(given) == 1 else None
        return await self._verifier.principal_of(authorization)
