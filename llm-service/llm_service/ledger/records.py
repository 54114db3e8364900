"""What the ledger is told, in the form in which it waits: in memory, in a file, and as JSON for PostgreSQL."""

from collections.abc import Mapping, Sequence
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


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
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


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
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
        return _sum([attempt.usage for attempt in self.attempts])

    @property
    def cost_usd(self) -> Decimal | None:
        """None where that of an attempt is unknown; 0 where nothing was spent."""
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

    def settlement(self) -> Mapping[str, Any]:
        if self.record is None:
            return {"id": self.id, "usd": Decimal(0), "tokens": 0}
        return {"id": self.id, "usd": self.record.cost_usd, "tokens": self.record.usage.total_tokens}


def new_record_id() -> UUID:
    return UUID(hex=uuid7_hex())


def request_rows(records: Sequence[RequestRecord]) -> list[dict[str, Any]]:
    return [
        {**_columns(record, but=("attempts",)), **_spent(record.usage), "cost_usd": record.cost_usd}
        for record in records
    ]


def attempt_rows(records: Sequence[RequestRecord]) -> list[dict[str, Any]]:
    return [
        {
            **_columns(attempt, but=("usage",)),
            **_spent(attempt.usage),
            "request_id": record.id,
            "organization_id": record.organization_id,
        }
        for record in records
        for attempt in record.attempts
    ]


def _columns(record: msgspec.Struct, *, but: tuple[str, ...]) -> dict[str, Any]:
    return {name: _storable(getattr(record, name)) for name in record.__struct_fields__ if name not in but}


def _storable(value: Any) -> Any:
    """PostgreSQL's text has no NUL; what a client or provider made up must not keep a row from being written."""
    return value.replace("\0", "")[:LONGEST_WORD] if isinstance(value, str) else value


def _spent(usage: Usage) -> dict[str, Any]:
    return msgspec.structs.asdict(usage)


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        **{name: sum(getattr(usage, name) for usage in usages) for name in TOKEN_KINDS},
        estimated=any(usage.estimated for usage in usages),
    )
