"""What callers are told of their limits, and what other services say to reserve and to charge."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from llm_service.ledger.records import AttemptRecord, RequestRecord
from llm_service.limits.errors import Unit
from llm_service.limits.service import Left, Payer
from shared.auth.policy import Policy
from shared.events import Usage
from shared.money import plain

Word = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00]*$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Usd = Annotated[Decimal, Field(ge=0, max_digits=30)]


class LimitView(BaseModel):
    """In US dollars, tokens or requests at a time, by `unit`. `reserved` is what requests under way may use at most;
    `remaining` is what the next one may. Windows are calendar ones in UTC; `total` neither starts nor resets.
    """

    name: Literal["budget", "tokens_per_minute", "concurrent_requests"]
    unit: Unit
    period: Literal["minute", "day", "week", "month", "total"]
    limit: str
    spent: str
    reserved: str
    remaining: str
    starts_at: datetime | None
    resets_at: datetime | None

    @classmethod
    def of(cls, left: Left) -> "LimitView":
        window = left.window
        return cls.model_validate(
            {
                "name": left.name,
                "unit": left.unit,
                "period": left.period,
                "limit": plain(left.limit),
                "spent": plain(window.spent),
                "reserved": plain(window.reserved),
                "remaining": plain(left.remaining),
                "starts_at": window.starts_at,
                "resets_at": window.resets_at,
            }
        )


class OwnLimits(BaseModel):
    """Of the API key that a caller uses, or that acts for them; an empty `key_id` is a login, which has none.

    `models` are those that it may use, null any. `requests_per_minute` is counted at the door: the `RateLimit` headers
    of every answer tell what is left of it.
    """

    key_id: str
    models: list[str] | None
    requests_per_minute: int | None
    limits: list[LimitView]


class PayerIn(BaseModel):
    """Whoever's verified token the calling service holds; `policy` as the token has it."""

    model_config = ConfigDict(extra="forbid")

    organization_id: Word
    user_id: Word
    session_id: Word
    policy: dict[str, Any] = {}

    @field_validator("policy")
    @classmethod
    def _is_a_policy(cls, given: dict[str, Any]) -> dict[str, Any]:
        msgspec.convert(given, Policy)
        return given

    def payer(self) -> Payer:
        return Payer(
            organization_id=self.organization_id,
            user_id=self.user_id,
            session_id=self.session_id,
            policy=msgspec.convert(self.policy, Policy),
        )


class ReservationCreate(BaseModel):
    """`id` is the caller's to make: asked for twice, it is reserved once."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    payer: PayerIn
    tokens: Count = 0
    usd: Usd = Decimal(0)
    model: Word
    request_id: Word = ""


class ReservationMade(BaseModel):
    """To be renewed well within `lease_seconds`, and settled by a charge with its id."""

    id: UUID
    lease_seconds: float


class UsageIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input_tokens: Count = 0
    output_tokens: Count = 0
    cached_input_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_write_1h_tokens: Count = 0
    reasoning_tokens: Count = 0
    input_audio_tokens: Count = 0
    output_audio_tokens: Count = 0
    estimated: bool = False


class ChargeCreate(BaseModel):
    """What was used. With `reserved`, it settles the reservation of its id. Told twice, it counts once."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    reserved: bool = False
    payer: PayerIn
    model: Word
    provider: Word = ""
    request_id: Word = ""
    usage: UsageIn = UsageIn()
    cost_usd: Usd | None
    result: Literal["completed", "failed", "cancelled", "interrupted"] = "completed"
    error: Word | None = None
    started_at: AwareDatetime
    total_ms: float = Field(0, ge=0)

    def record(self, *, source: str) -> RequestRecord:
        """As the service `source` tells it: one attempt."""
        payer = self.payer.payer()
        attempt = AttemptRecord(
            number=1,
            model=self.model,
            provider=self.provider,
            result=self.result,
            error=self.error,
            usage=Usage(**self.usage.model_dump()),
            cost_usd=self.cost_usd,
            total_ms=self.total_ms,
            created_at=self.started_at,
        )
        return RequestRecord(
            id=self.id,
            organization_id=payer.organization_id,
            user_id=payer.user_id,
            session_id=payer.session_id,
            key_id=payer.key_id,
            source=source,
            request_id=self.request_id,
            model_asked=self.model,
            model=self.model,
            provider=self.provider,
            stream=False,
            result=self.result,
            error=self.error,
            total_ms=self.total_ms,
            overhead_ms=0,
            created_at=self.started_at,
            attempts=(attempt,),
        )
