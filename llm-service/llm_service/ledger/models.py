"""Tables `llm.requests`, `llm.attempts`, and their sums in `llm.usage_*` and `llm.user_usage_*`."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import Index, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from llm_service.tables import Base, Moment, Tokens, Usd, Word

NOTHING = text("''")


class _Spent:
    """Tokens by kind: input and output are all there are, the others say how many of them are of a kind."""

    input_tokens: Mapped[Tokens]
    output_tokens: Mapped[Tokens]
    cached_input_tokens: Mapped[Tokens]
    cache_write_tokens: Mapped[Tokens]
    cache_write_1h_tokens: Mapped[Tokens]
    reasoning_tokens: Mapped[Tokens]
    input_audio_tokens: Mapped[Tokens]
    output_audio_tokens: Mapped[Tokens]


class LedgerRequest(_Spent, Base):
    """What its attempts spent together. Ids are UUIDv7, so each organization's primary keys are in the order of time.

    `model` and `provider` answered; they are empty where nobody did. `cost_usd` is null where a price is unknown.
    `result`: completed, failed, cancelled (the client left), interrupted (the process stopped), lost (the process was
    killed: what had been reserved is what counts).
    """

    __tablename__ = "requests"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "id"),
        Index(None, "organization_id", "user_id", "id"),
    )

    id: Mapped[UUID]
    organization_id: Mapped[Word]
    user_id: Mapped[Word]
    session_id: Mapped[Word]
    key_id: Mapped[Word] = mapped_column(server_default=NOTHING)
    source: Mapped[Word]
    request_id: Mapped[Word]
    model_asked: Mapped[Word]
    model: Mapped[Word] = mapped_column(server_default=NOTHING)
    provider: Mapped[Word] = mapped_column(server_default=NOTHING)
    stream: Mapped[bool]
    result: Mapped[Word]
    error: Mapped[Word | None]
    cost_usd: Mapped[Usd | None]
    estimated: Mapped[bool]
    cached: Mapped[bool]
    first_content_ms: Mapped[float | None]
    total_ms: Mapped[float]
    overhead_ms: Mapped[float]
    created_at: Mapped[Moment]


class LedgerAttempt(_Spent, Base):
    """`key` is the provider's key by name; `status` is the provider's, where it gave one. Where `result` is skipped,
    nobody was asked: its circuit was open, or its keys rested. No foreign key: requests and
    their attempts are written together and never changed."""

    __tablename__ = "attempts"

    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[Word]
    model: Mapped[Word]
    provider: Mapped[Word]
    key: Mapped[Word | None]
    result: Mapped[Word]
    error: Mapped[Word | None]
    status: Mapped[int | None]
    cost_usd: Mapped[Usd | None]
    estimated: Mapped[bool]
    first_content_ms: Mapped[float | None]
    total_ms: Mapped[float]
    created_at: Mapped[Moment]


class _Sums(_Spent):
    """Tokens and cost count where they were spent (an attempt's model and provider), requests where they were answered.

    `unpriced` attempts are those whose cost is unknown: it is not in `cost_usd`. By hour, and by day in UTC.
    """

    organization_id: Mapped[Word] = mapped_column(primary_key=True)
    starts_at: Mapped[Moment] = mapped_column(primary_key=True)
    model: Mapped[Word] = mapped_column(primary_key=True)
    provider: Mapped[Word] = mapped_column(primary_key=True)
    requests: Mapped[Tokens]
    failed: Mapped[Tokens]
    cached: Mapped[Tokens]
    attempts: Mapped[Tokens]
    estimated: Mapped[Tokens]
    unpriced: Mapped[Tokens]
    cost_usd: Mapped[Decimal] = mapped_column(server_default=text("0"))


class _SumsOfUsers(_Sums):
    """The same, apart for each user and key: many more rows, which is why there are both. An empty key is a login.

    Users stand before models in the primary keys (migration 0006): one user's rows of a day are beside each other.
    """

    user_id: Mapped[Word] = mapped_column(primary_key=True)
    key_id: Mapped[Word] = mapped_column(primary_key=True)


class UsageHour(_Sums, Base):
    __tablename__ = "usage_hours"


class UsageDay(_Sums, Base):
    __tablename__ = "usage_days"


class UserUsageHour(_SumsOfUsers, Base):
    __tablename__ = "user_usage_hours"


class UserUsageDay(_SumsOfUsers, Base):
    __tablename__ = "user_usage_days"


class UserUsageMonth(_SumsOfUsers, Base):
    __tablename__ = "user_usage_months"
