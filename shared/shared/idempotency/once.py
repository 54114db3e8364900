"""Creating in one transaction, which keeps the answer too: a crash leaves both or neither."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import Session
from shared.idempotency.errors import AlreadyCreated
from shared.idempotency.keys import REPLAYED, Key, key_of
from shared.idempotency.models import StoredAnswer
from shared.idempotency.repository import Table

T = TypeVar("T", bound=BaseModel)


class Once:
    """Carries out what a route creates, unless the request's key has created it already.

    The work must use the request's own `Session`, and begins when its turn comes. What has to be done before, with no
    transaction open, is an argument: `once(users.create(body, password_hash=await users.hashed(body)))`.
    """

    def __init__(self, key: Key | None, session: AsyncSession, *, status: int) -> None:
        self._key = key
        self._session = session
        self._status = status

    async def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """The answer of the work, or the one that the first request got. Raises StillRunning, KeyReused."""
        if self._key is None:
            return await work
        if stored := await self._find(self._key, work):
            replay = Response(stored.body, status_code=stored.status, media_type="application/json", headers=REPLAYED)
            return cast("T", replay)  # FastAPI sends a response that a route returns as it is
        made = await work
        body = made.model_dump_json(by_alias=True).encode()
        await self._key.keep(self._session, created_id=_id_of(made), status=self._status, body=body)
        return made

    async def with_secret(self, work: Coroutine[Any, Any, T]) -> T:
        """The same for an answer that holds a secret, which is not kept. Raises AlreadyCreated beside the others."""
        if self._key is None:
            return await work
        if stored := await self._find(self._key, work):
            raise AlreadyCreated(stored.created_id)
        made = await work
        await self._key.keep(self._session, created_id=_id_of(made), status=self._status)
        return made

    async def _find(self, key: Key, work: Coroutine[Any, Any, T]) -> StoredAnswer | None:
        stored = None
        try:
            stored = await key.find(self._session)
        except BaseException:
            work.close()  # Python warns of a coroutine that nobody began
            raise
        if stored is not None:
            work.close()
        return stored


def once_of(table: Table) -> Callable[..., Awaitable[Once]]:
    """The dependency: `Once = Annotated[idempotency.Once, Depends(once_of(IdempotencyKey))]`."""

    async def once(request: Request, key: Annotated[Key | None, Depends(key_of(table))], session: Session) -> Once:
        return Once(key, session, status=request.scope["route"].status_code or 200)

    return once


def _id_of(made: BaseModel) -> str | None:
    return getattr(made, "id", None)
