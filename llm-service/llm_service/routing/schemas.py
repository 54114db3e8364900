"""How providers are, as JSON."""

import math
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from llm_service.catalogue.service import Catalogue
from llm_service.providers import Provider
from llm_service.routing.observed import Observed, Seen


class KeyStatus(BaseModel):
    """A key, by its name. `rests_for` is the longest that it still rests, in seconds, for any model."""

    name: str
    weight: int
    rests_for: float


class LastError(BaseModel):
    """The newest failure of a target; `status` is the provider's."""

    code: str
    status: int | None
    at: datetime


def _tenths(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 1)


class TargetStatus(BaseModel):
    """A model at the provider, as this process has seen it since its start. Averages weigh the newest attempt most."""

    model: str
    breaker: Literal["closed", "open", "half_open"]
    attempts: int
    failures: int
    first_content_ms: float | None
    tokens_per_second: float | None
    last_error: LastError | None

    @classmethod
    def of(cls, model: str, seen: Seen) -> "TargetStatus":
        error, at = seen.last_error, seen.last_error_at
        told = (
            LastError(code=error.kind.value, status=error.status, at=datetime.fromtimestamp(at, UTC))
            if error and at
            else None
        )
        return cls(
            model=model,
            breaker=seen.breaker.state,
            attempts=seen.attempts,
            failures=seen.failures,
            first_content_ms=_tenths(seen.first_content_ms),
            tokens_per_second=_tenths(seen.tokens_per_second),
            last_error=told,
        )


class ProviderStatus(BaseModel):
    """`degraded` where some circuit is not closed or some key rests; `down` where all of them."""

    name: str
    dialect: str | None
    status: Literal["ok", "degraded", "down"]
    keys: list[KeyStatus]
    targets: list[TargetStatus]

    @classmethod
    def of(cls, provider: Provider, seen: dict[str, Seen]) -> "ProviderStatus":
        keys = [
            KeyStatus(name=key.name, weight=key.weight, rests_for=math.ceil(key.longest_rest * 10) / 10)
            for key in provider.keys.all
        ]
        prefix = f"{provider.name}/"
        targets = [TargetStatus.of(n.removeprefix(prefix), one) for n, one in seen.items() if n.startswith(prefix)]
        troubles = [key.rests_for > 0 for key in keys], [target.breaker != "closed" for target in targets]
        status: Literal["ok", "degraded", "down"] = "ok"
        if any(map(any, troubles)):
            status = "down" if any(one and all(one) for one in troubles) else "degraded"
        dialect = provider.dialect.name if provider.dialect else None
        return cls(name=provider.name, dialect=dialect, status=status, keys=keys, targets=targets)


class Providers(BaseModel):
    """All providers at once: `next_cursor` is always null."""

    data: list[ProviderStatus]
    next_cursor: None = None

    @classmethod
    def of(cls, catalogue: Catalogue, observed: Observed) -> "Providers":
        seen = observed.all()
        return cls(data=[ProviderStatus.of(provider, seen) for provider in catalogue.providers.values()])
