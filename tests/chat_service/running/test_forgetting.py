"""What crashes have left among the events goes with the day."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from chat_service.generations.repository import forget_days, weekday_of
from shared.database import Sessions
from shared.ids import new_id


def begun(at: datetime) -> str:
    """An id of a generation that began then."""
    return f"gen_{int(at.timestamp() * 1000):012x}{new_id('gen')[-20:]}"


async def test_events_of_days_gone_by_are_dropped_and_those_that_may_still_run_are_not(sessions: Sessions) -> None:
    now = datetime.now(UTC)
    days = {days: begun(now - timedelta(days=days)) for days in range(-1, 6)}
    async with sessions.begin() as session:
        for generation_id in days.values():
            await session.execute(
                text("INSERT INTO chat.events VALUES (:id, 1, :weekday, 'delta', '{}')"),
                {"id": generation_id, "weekday": weekday_of(generation_id)},
            )
        await forget_days(session, now)
        kept = text("SELECT generation_id FROM chat.events WHERE generation_id = ANY(:ids)")
        left = set(await session.scalars(kept, {"ids": list(days.values())}))
        await session.rollback()
    assert left == {days[-1], days[0], days[1]}
