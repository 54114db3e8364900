"""Which sums a caller may see, and over how much time."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from llm_service.ledger.readers import only_of
from llm_service.ledger.records import SUMS
from llm_service.usage.repository import COLUMNS, Narrowed, sum_usage
from llm_service.usage.schemas import UsageFilter
from shared.auth import Principal
from shared.database import Sessions, autocommitting
from shared.errors import Unprocessable
from shared.money import plain

USUAL_DAYS = 30
MOST_DAYS_BY_HOUR = 92
MOST_ROWS = 10_000


class UsageService:
    """Admins see their organization's usage, others their own."""

    def __init__(self, sessions: Sessions, *, reader: Principal) -> None:
        self._autocommitting = autocommitting(sessions)
        self._reader = reader

    async def read(self, asked: UsageFilter) -> list[dict[str, Any]]:
        """Members of UsageRow. Raises Unprocessable where that would be too much."""
        groups = groups_of(asked)
        now = datetime.now(UTC)
        since = _hour(asked.since) if asked.since else _midnight(now - timedelta(days=USUAL_DAYS))
        until = _hour(asked.until) if asked.until else _midnight(now + timedelta(days=1))
        by_day = "hour" not in groups and _midnight(since) == since and _midnight(until) == until
        if not by_day and until - since > timedelta(days=MOST_DAYS_BY_HOUR):
            raise Unprocessable(f"By the hour, and from or to within a day, at most {MOST_DAYS_BY_HOUR} days are told.")
        async with self._autocommitting.connect() as connection:
            rows = await sum_usage(
                connection,
                Narrowed(user=asked.user, key=asked.key, model=asked.model, provider=asked.provider),
                organization_id=self._reader.organization_id,
                only_of=only_of(self._reader),
                group_by=groups,
                since=since,
                until=until,
                by_day=by_day,
                limit=MOST_ROWS + 1,
            )
        if len(rows) > MOST_ROWS:
            raise Unprocessable(f"That would be more than {MOST_ROWS} rows: group by less, or ask for less time.")
        for row in rows:
            row["cost_usd"] = plain(row["cost_usd"])
        return rows


def groups_of(asked: UsageFilter) -> list[str]:
    """Each once; of `hour` and `day` the finer."""
    groups = list(dict.fromkeys(asked.group_by.split(",")))
    return [group for group in groups if group != "day" or "hour" not in groups]


def columns_of(asked: UsageFilter) -> list[str]:
    """The names of what a row tells."""
    return [*(COLUMNS.get(group, "starts_at") for group in groups_of(asked)), *SUMS]


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time(), UTC)
