"""The caller of a route, as its signature shows it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from shared.auth.policy import UNLIMITED, Policy
from shared.errors import InsufficientScope

AUTHORIZATION = b"authorization"


def bearer(token: str) -> bytes:
    return b"Bearer " + token.encode(errors="surrogatepass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A verified caller. `token` is what they showed; calls made for them to other services carry it on.

    `session_id` is the login (`ses_…`), the API key (`key_…`) or the grant (`gnt_…`) that the token was made for;
    `actor` is the service that acts for the user, where one does. Times are seconds since the epoch.
    """

    user_id: str
    organization_id: str
    session_id: str
    scopes: frozenset[str]
    issued_at: int
    expires_at: int
    token: str = field(repr=False)
    policy: Policy = UNLIMITED
    actor: str | None = None
    authorization: bytes = field(init=False, repr=False, compare=False)
    """The header that shows the token."""
    subjects: tuple[str, str, str] = field(init=False, repr=False, compare=False)
    """What a revocation may name to end this token."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "authorization", bearer(self.token))
        subjects = self.session_id, self.user_id, f"{self.user_id}/{self.organization_id}"
        object.__setattr__(self, "subjects", subjects)

    def with_scope(self, scope: str) -> "Principal":
        """Itself. Raises InsufficientScope."""
        if scope not in self.scopes:
            raise InsufficientScope(scope)
        return self

    @property
    def is_login(self) -> bool:
        """Whether the user has logged in for it. An API key may be found, or made by somebody else."""
        return self.session_id.startswith("ses_")


# Only documents the scheme (and gives /docs its Authorize button); the verifier reads the header itself.
_documented = OAuth2PasswordBearer(tokenUrl="/api/auth/token", auto_error=False, scheme_name="password")


async def principal_of(request: Request) -> Principal:
    """Who shows the request's token. Raises Unauthorized."""
    verifier = request.scope["state"]["verifier"]
    authorization = None
    for name, value in request.scope["headers"]:
        if name == AUTHORIZATION:
            known: Principal | None = verifier.remembered(value)
            if known is not None:
                return known
            authorization = value.decode("latin-1")
            break
    principal: Principal = await verifier.principal_of(authorization)
    return principal


async def current_principal(request: Request, _: Annotated[str | None, Depends(_documented)]) -> Principal:
    return await principal_of(request)


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


def requires(scope: str) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that lets only callers with `scope` pass: `Annotated[Principal, Depends(requires("llm:read"))]`."""

    async def principal_with_scope(principal: CurrentPrincipal) -> Principal:
        return principal.with_scope(scope)

    return principal_with_scope
