"""Logged-in callers, and what the tests look up behind the API."""

import asyncio
from typing import Any

import httpx2
from sqlalchemy import select

from auth_service.audit.models import AuditEvent
from auth_service.revocations.models import Revocation
from shared.database import Sessions
from tests.auth_service.conftest import ADMIN_PASSWORD
from tests.auth_service.factories import PASSWORD


class Caller:
    """Somebody with a token; `answer.json()` of a login is kept as `token`."""

    def __init__(self, auth: httpx2.AsyncClient, token: dict[str, Any]) -> None:
        self._auth = auth
        self.token = token

    async def __call__(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.token['access_token']}"}
        given = {} if body is None else {"json": body}
        return await self._auth.request(method, f"/api/auth{path}", headers=headers, **given)


async def log_in(
    auth: httpx2.AsyncClient, username: str = "admin", password: str | None = None, **fields: Any
) -> Caller:
    given = password or (ADMIN_PASSWORD if username == "admin" else PASSWORD)
    answer = await auth.post("/api/auth/token", json={"username": username, "password": given, **fields})
    assert answer.status_code == 200, answer.text
    return Caller(auth, answer.json())


async def revoked(sessions: Sessions) -> set[str]:
    async with sessions() as session:
        return set((await session.scalars(select(Revocation.subject))).all())


async def audited(sessions: Sessions) -> list[str]:
    """The actions, oldest first; a failure is marked."""
    async with sessions() as session:
        events = (await session.scalars(select(AuditEvent).order_by(AuditEvent.id))).all()
    return [event.action if event.result == "success" else f"{event.action}!" for event in events]


async def until_somebody_waits(sessions: Sessions) -> None:
    """For a lock, in this database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while True:
            async with sessions() as session:
                connection = await session.connection()
                if (await connection.exec_driver_sql(query)).scalar_one():
                    return
            await asyncio.sleep(0.01)  # the database sets no event
