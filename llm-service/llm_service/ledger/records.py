"""What the ledger is told, in the form in which it waits: in memory, in a file, and as JSON for PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec

from shared.events import Usage
from shared.ids import uuid7_hex

Result = Literal["completed", "failed", "cancelled", "interrupted", "lost", "skipped"]
PREFIX = "lreq_"
TOKEN_KINDS = tuple(name for name in Usage.__struct_fields__ if name != "estimated")
SUMS = ("requests", "failed", "cached", "attempts", "estimated", "unpriced", "cost_usd", *TOKEN_KINDS)
"""What is added up, by hour and by day."""
LONGEST_WORD = 512

_encoder = msgspec.json.Encoder()


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of `llm.attempts`; `cost_usd` is None where the price is unknown."""

    number: int
    model: str
    provider: str
    result: Result
    total_ms: float
    created_at: datetime
    usage: Usage = Usage()
    cost_usd: Decimal | None = None
    key: str | None = None
    error: str | None = None
    status: int | None = None
    first_content_ms: float | None = None


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of `llm.requests` with its attempts; written twice, it counts once."""

    id: UUID
    organization_id: str
    user_id: str
    session_id: str
    source: str
    request_id: str
    model_asked: str
    stream: bool
    result: Result
    total_ms: float
    overhead_ms: float
    created_at: datetime
    key_id: str = ""
    model: str = ""
    provider: str = ""
    error: str | None = None
    cached: bool = False
    first_content_ms: float | None = None
    attempts: tuple[AttemptRecord, ...] = ()

    @property
    def usage(self) -> Usage:
        return self.attempts[0].usage if len(self.attempts) == 1 else _sum([one.usage for one in self.attempts])

    @property
    def cost_usd(self) -> Decimal | None:
        """None where that of an attempt is unknown; 0 where nothing was spent."""
        if len(self.attempts) == 1:
            return self.attempts[0].cost_usd
        costs = [attempt.cost_usd for attempt in self.attempts]
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)) if len(known) == len(costs) else None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What one request leaves behind: its record, and whether it has a reservation to settle (by the same id).

    Without a record it only gives a reservation back.
    """

    id: UUID
    record: RequestRecord | None = None
    reserved: bool = False

    def settlement(self) -> "Settlement":
        if self.record is None:
            return Settlement(id=self.id, usd=Decimal(0), tokens=0)
        return Settlement(id=self.id, usd=self.record.cost_usd, tokens=self.record.usage.total_tokens)


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What `llm.settle` is told; where `usd` is not known, what was reserved counts."""

    id: UUID
    usd: Decimal | None
    tokens: int


def new_record_id() -> UUID:
    return UUID(hex=uuid7_hex())


def encoded(told: Any) -> bytes:
    """JSON that PostgreSQL takes: its text has no NUL, and UTF-8 no half of a character."""
    try:
        written = _encoder.encode(told)
    except UnicodeEncodeError:
        return _encoder.encode(_clean(told))
    return _encoder.encode(_clean(told)) if b"\\u0000" in written else written


def _clean(told: Any) -> Any:
    match told:
        case str():
            return told.replace("\0", "").encode(errors="replace").decode()
        case list() | tuple():
            return [_clean(one) for one in told]
        case msgspec.Struct():
            return {name: _clean(getattr(told, name)) for name in told.__struct_fields__}
        case _:
            return told


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        **{name: sum(getattr(usage, name) for usage in usages) for name in TOKEN_KINDS},
        estimated=any(usage.estimated for usage in usages),
    )
