"""Requests and attempts as JSON."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from llm_service.ledger.records import PREFIX, TOKEN_KINDS
from llm_service.usage.schemas import Time, Word
from shared.money import plain

REQUEST_ID = f"^{PREFIX}[0-9a-f]{{32}}$"


class RequestFilter(BaseModel):
    """Each narrows the list; `from` counts itself in, `to` does not."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    user: Word | None = Field(None, description="the id of a user; who is no admin sees only their own requests")
    key: Word | None = Field(None, description="the id of an API key")
    model: Word | None = Field(None, description="the model that answered")
    result: Literal["completed", "failed", "cancelled", "interrupted", "lost"] | None = None
    request_id: Word | None = Field(None, description="the `x-request-id` of the answer")
    since: Time | None = Field(None, alias="from")
    until: Time | None = Field(None, alias="to")
    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=512)


class TokensView(BaseModel):
    """`estimated` where the provider did not count."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    input_audio_tokens: int
    output_audio_tokens: int
    total_tokens: int
    estimated: bool

    @classmethod
    def of(cls, row: Any) -> "TokensView":
        tokens = {name: getattr(row, name) for name in TOKEN_KINDS}
        return cls(**tokens, total_tokens=row.input_tokens + row.output_tokens, estimated=row.estimated)


class _Timed(BaseModel):
    model: str
    provider: str
    result: str
    error: str | None
    usage: TokensView
    cost_usd: Decimal | None = Field(description="null where the price is not known")
    first_content_ms: float | None
    total_ms: float
    created_at: datetime

    @field_serializer("cost_usd")
    def _plain(self, usd: Decimal | None) -> str | None:
        return None if usd is None else plain(usd)

    @field_serializer("first_content_ms", "total_ms")
    def _rounded(self, ms: float | None) -> float | None:
        return None if ms is None else round(ms, 1)


class AttemptView(_Timed):
    """`key` is the provider's key by name; `status` is what the provider answered with."""

    key: str | None
    status: int | None

    @classmethod
    def of(cls, row: Any) -> "AttemptView":
        return cls.model_validate(_members(cls, row))


class RequestView(_Timed):
    """`usage` and cost are those of all attempts together. `lost`: its process was killed, and what had been reserved
    is what counts."""

    id: str
    request_id: str
    user_id: str
    key_id: str
    source: str
    model_asked: str
    stream: bool
    cached: bool
    overhead_ms: float

    @classmethod
    def of(cls, row: Any) -> "RequestView":
        return cls.model_validate({**_members(cls, row), "id": PREFIX + row.id.hex})


class RequestWithAttempts(RequestView):
    """Attempts in their order."""

    attempts: list[AttemptView]


def _members(view: type[BaseModel], row: Any) -> dict[str, Any]:
    names = view.model_fields.keys() - {"usage", "attempts"}
    return {name: getattr(row, name) for name in names} | {"usage": TokensView.of(row)}
