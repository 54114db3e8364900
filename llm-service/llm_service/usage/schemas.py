"""Usage as JSON and as CSV, and what it can be grouped by and narrowed to."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from shared.moments import Moment

_ONE = "(hour|day|model|provider|user|key)"
Word = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def _within_reach(moment: datetime) -> datetime:
    """Moments at the edge of the calendar have no UTC that Python could write down, and nothing has happened there."""
    return min(max(moment, EARLIEST), LATEST).astimezone(UTC)


Time = Annotated[Moment, AfterValidator(_within_reach)]


class UsageFilter(BaseModel):
    """`from` counts itself in, `to` does not; sums are kept for whole hours in UTC, so both are rounded down to one."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    group_by: str = Field("day", pattern=f"^{_ONE}(,{_ONE})*$", max_length=64, description="comma separated")
    since: Time | None = Field(None, alias="from", description="30 days ago, if not given")
    until: Time | None = Field(None, alias="to", description="now, if not given")
    user: Word | None = Field(None, description="the id of a user; who is no admin sees only their own usage")
    key: Word | None = Field(None, description="the id of an API key")
    model: Word | None = None
    provider: Word | None = None
    format: Literal["json", "csv"] | None = Field(None, description="CSV also by `Accept: text/csv`")


class UsageRow(BaseModel):
    """Of what is not grouped by, nothing is told.

    Tokens and cost count where they were spent, requests where they were answered. `unpriced` attempts are those whose
    price is not known: their cost is not in `cost_usd`. `estimated` attempts were not counted by their provider.
    `cached` requests were answered from our cache, for nothing. An empty `key_id` is a login.
    """

    starts_at: datetime | None = None
    model: str | None = None
    provider: str | None = None
    user_id: str | None = None
    key_id: str | None = None
    requests: int
    failed: int
    cached: int
    attempts: int
    estimated: int
    unpriced: int
    cost_usd: str
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    input_audio_tokens: int
    output_audio_tokens: int


class Usage(BaseModel):
    """All rows at once: `next_cursor` is always null."""

    data: list[UsageRow]
    next_cursor: None = None


def as_csv(rows: Sequence[Mapping[str, object]], *, columns: Sequence[str]) -> str:
    """RFC 4180. A model's name is anybody's to choose: one that a spreadsheet would run is quoted."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return written.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value
