"""Audit events as JSON, and what they can be filtered by."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from shared.moments import Moment

Word = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def _within_reach(moment: datetime) -> datetime:
    """Moments at the edge of the calendar have no UTC that Python could write down, and nothing has happened there."""
    return min(max(moment, EARLIEST), LATEST)


Time = Annotated[Moment, AfterValidator(_within_reach)]


class AuditFilter(BaseModel):
    """Each narrows the list; `from` counts itself in, `to` does not."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    action: Word | None = Field(None, description="`user.disable`, say")
    actor: Word | None = Field(None, description="who did it: the id of a user")
    target: Word | None = Field(None, description="to what it was done")
    result: Literal["success", "failure"] | None = None
    since: Time | None = Field(None, alias="from")
    until: Time | None = Field(None, alias="to")
    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=512)


class AuditEventView(BaseModel):
    """Who did what to what, from where, and whether it succeeded."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    actor: str | None
    action: str
    target: str | None
    result: str
    address: str | None
    user_agent: str | None
    request_id: str | None
    details: dict[str, Any]
    created_at: datetime
