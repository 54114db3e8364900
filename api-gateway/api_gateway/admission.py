"""Which limits a request counts against, and what becomes of it."""

from collections.abc import Sequence
from functools import lru_cache

from starlette.types import Scope

from api_gateway.forwarded import limited_as
from api_gateway.metrics import Metrics
from api_gateway.rate_limit import Decision, Headers, Limit, RateLimiter
from api_gateway.settings import Settings
from shared.auth import Principal
from shared.errors import TooManyRequests

LOGIN_PATHS = frozenset({"/api/auth/token", "/api/auth/register"})
"""Where passwords can be tried."""
UNCOUNTED = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
"""What watches over the gateway asks often, and must get its answer."""


class RateLimited(TooManyRequests):
    """Carries what the limits say beside `Retry-After`."""

    code = "rate_limited"

    def __init__(self, decision: Decision) -> None:
        limits = ", ".join(f"{limit.quota} per minute ({limit.name})" for limit in decision.refused_by)
        super().__init__(f"The limit is {limits}.", retry_after=decision.retry_after)
        self._limits = decision.headers()

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, **{name.decode(): value.decode() for name, value in self._limits}}


class Admission:
    """One decision per request: by who asks if we know them, by where they ask from if we do not."""

    def __init__(self, limiter: RateLimiter, *, settings: Settings, metrics: Metrics) -> None:
        self._limiter = limiter
        self._settings = settings
        self._metrics = metrics

    @property
    def problem(self) -> str | None:
        """What is wrong with the counts, for `/health`."""
        return self._limiter.problem

    async def of_principal(self, principal: Principal) -> Headers:
        """Headers for the answer. Raises RateLimited."""
        limits = self.limits_of(principal)
        return self._told(await self._limiter.decide(limits)) if limits else []

    async def of_stranger(self, scope: Scope) -> Headers:
        """The same for a request without a credential, or with one that did not hold."""
        limits = self.limits_of_address(scope)
        return self._told(await self._limiter.decide(limits)) if limits else []

    def limits_of(self, principal: Principal) -> Sequence[Limit]:
        return _limits_of(
            principal.organization_id,
            principal.user_id,
            principal.session_id,
            self._settings.rate_limit_per_minute,
            principal.policy.requests_per_minute,
        )

    def limits_of_address(self, scope: Scope) -> Sequence[Limit]:
        path, client = scope["path"], scope.get("client")
        if path in UNCOUNTED:
            return []
        address = limited_as(client[0] if client else "")
        if path.rstrip("/") in LOGIN_PATHS:
            quota = self._settings.rate_limit_login_per_minute
            return [Limit("login", f"login:{address}", quota)] if quota else []
        quota = self._settings.rate_limit_anonymous_per_minute
        return [Limit("address", f"address:{address}", quota)] if quota else []

    def _told(self, decision: Decision) -> Headers:
        self._metrics.decided(decision)
        if not decision.admitted:
            raise RateLimited(decision)
        return decision.headers()


@lru_cache(maxsize=4096)
def _limits_of(organization: str, user: str, session: str, quota: int, own: int | None) -> Sequence[Limit]:
    limits = [Limit("principal", f"principal:{organization}/{user}", quota)] if quota else []
    if own is not None:
        limits.append(Limit("key", f"key:{session}", max(1, own)))
    return limits
