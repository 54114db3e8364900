"""The ledger's batches: one transaction each, of one statement, and one more where reservations are settled."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from llm_service.ledger import statements
from llm_service.ledger.records import Entry, RequestRecord, encoded

APPEND = text(statements.APPEND)
RETRACT = text(statements.RETRACT)
SETTLE = text("SELECT llm.settle(CAST(:given AS jsonb))")


async def append(session: AsyncSession, entries: Sequence[Entry]) -> None:
    """Settles reservations and adds rows with their sums. What is there already is not added again."""
    if settled := [entry.settlement() for entry in entries if entry.reserved]:
        charged = await session.scalar(SETTLE, {"given": encoded(settled).decode()})
        if charged:
            await _retract(session, charged)
    if records := [entry.record for entry in entries if entry.record is not None]:
        await append_records(session, records)


async def append_records(session: AsyncSession, records: Sequence[RequestRecord]) -> None:
    await session.execute(APPEND, {"told": encoded(records).decode()})


async def _retract(session: AsyncSession, ids: Sequence[UUID]) -> None:
    """Takes back the rows of requests that were given up for lost, because what became of them is now known."""
    await session.execute(RETRACT, {"ids": list(ids)})
