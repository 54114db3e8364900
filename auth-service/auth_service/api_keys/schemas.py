"""API keys as JSON. Only the answers that make a key show it."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from auth_service.api_keys.models import ApiKey
from auth_service.text import line
from shared.auth.policy import UNLIMITED, Budget, Period, Policy
from shared.moments import Moment

LARGEST_POLICY = 4096
"""Bytes of the claim, as it stands in the token."""
LONGEST_OVERLAP = 30 * 24 * 60 * 60
DEFAULT_OVERLAP = 24 * 60 * 60

Storable = Field(pattern=r"^[^\x00]+$", min_length=1)
"""PostgreSQL keeps no NUL."""
Name = Annotated[str, Storable, Field(max_length=128), AfterValidator(line)]
Scopes = Annotated[list[Annotated[str, Storable, Field(max_length=64)]], Field(min_length=1, max_length=64)]
Models = Annotated[list[Annotated[str, Storable, Field(max_length=128)]], Field(min_length=1, max_length=50)]
Limit = Annotated[int, Field(ge=1, le=1_000_000_000)]


def _in_the_future(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise ValueError("must lie in the future")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie before the year 10000 in UTC") from None


Expiry = Annotated[Moment, AfterValidator(_in_the_future)]


class KeyBudget(BaseModel):
    """US dollars per calendar period in UTC; weeks begin on Monday."""

    model_config = ConfigDict(extra="forbid")

    usd: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=6)]
    period: Period


class KeyLimits(BaseModel):
    """What requests with the key are held to; null is no limit, `allowed_models` null allows all."""

    model_config = ConfigDict(extra="forbid")

    allowed_models: Models | None = None
    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    concurrent_requests: Limit | None = None
    budget: KeyBudget | None = None

    @model_validator(mode="after")
    def _fits_into_a_token(self) -> Self:
        policy = Policy(models=tuple(self.allowed_models or ()))
        if len(json.dumps(msgspec.to_builtins(policy))) > LARGEST_POLICY - 256:  # the other limits are short
            raise ValueError(f"allowed_models must be shorter: all limits together have {LARGEST_POLICY} bytes")
        return self


class ApiKeyCreate(KeyLimits):
    """Without `scopes` the key may all that its owner and you may, except `admin`. Without `user_id` it is your own."""

    name: Name
    scopes: Scopes | None = None
    expires_at: Expiry | None = None
    user_id: Annotated[str, Storable, Field(max_length=64, description="whose key it is; for admins")] | None = None


class ApiKeyChange(KeyLimits):
    """What is left out stays as it is; null takes a limit or the expiry away."""

    name: Name | None = None
    scopes: Scopes | None = None
    expires_at: Expiry | None = None

    @model_validator(mode="after")
    def _some_are_never_null(self) -> Self:
        for name in ("name", "scopes"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        return self


class ApiKeyRotate(BaseModel):
    """For how long the old key goes on beside its successor; 0 revokes it at once."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP)] = DEFAULT_OVERLAP


class ApiKeyView(BaseModel):
    id: str
    user_id: str
    name: str
    last_four: str
    scopes: list[str]
    allowed_models: list[str] | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_requests: int | None
    budget: KeyBudget | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    rotated_to: str | None

    @classmethod
    def of(cls, key: ApiKey) -> "ApiKeyView":
        return cls(**_members(key))


class ApiKeyCreated(ApiKeyView):
    """`key` is shown here, once, and never again."""

    key: Annotated[str, Field(repr=False)]

    @classmethod
    def showing(cls, key: ApiKey, secret: str) -> "ApiKeyCreated":
        return cls(**_members(key), key=secret)


def policy_of(key: ApiKey) -> Policy:
    budget = None
    if key.budget_usd is not None and key.budget_period is not None:
        budget = msgspec.convert({"usd": key.budget_usd, "period": key.budget_period}, Budget)
    policy = Policy(
        models=None if key.allowed_models is None else tuple(key.allowed_models),
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
        concurrent_requests=key.concurrent_requests,
        budget=budget,
    )
    return policy if policy == UNLIMITED else msgspec.structs.replace(policy, key=key.id)


def _members(key: ApiKey) -> dict[str, object]:
    columns = (name for name in ApiKeyView.model_fields if name != "budget")
    budget = None if key.budget_usd is None else {"usd": key.budget_usd, "period": key.budget_period}
    return {name: getattr(key, name) for name in columns} | {"budget": budget}
