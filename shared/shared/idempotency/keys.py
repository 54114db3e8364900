"""The key of a request: read from its header, and what has been answered to it before."""

import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Annotated

from fastapi import Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import MutableHeaders

from shared.auth import CurrentPrincipal
from shared.idempotency import repository
from shared.idempotency.errors import KeyReused, MalformedKey, StillRunning
from shared.idempotency.models import StoredAnswer
from shared.idempotency.repository import Place, Table

HEADER = "Idempotency-Key"
REPLAYED = {"idempotency-replayed": "true"}
_WELL_FORMED = re.compile(r"[!-~]{1,255}")

_Documented = Annotated[
    str | None,
    Header(
        alias=HEADER,
        description="The same key and body make one thing, and get the same answer, for 24 hours",
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    ),
]


class Key:
    """One request's key, and the request's fingerprint: a key belongs to one path, query and body."""

    def __init__(self, table: Table, place: Place, *, fingerprint: bytes, headers: MutableHeaders) -> None:
        """`headers` are those of the answer: a replay is marked there."""
        self._table = table
        self._place = place
        self._fingerprint = fingerprint
        self._headers = headers

    async def find(self, session: AsyncSession) -> StoredAnswer | None:
        """What the first request with this key has made; None where this is the first, and the only one until the
        transaction ends. Raises StillRunning, KeyReused.
        """
        if not await repository.lock(session, self._place):
            raise StillRunning
        stored = await repository.find_answer(session, self._table, self._place)
        if stored is not None and stored.fingerprint != self._fingerprint:
            raise KeyReused
        if stored is not None:
            self._headers.update(REPLAYED)
        return stored

    async def keep(
        self, session: AsyncSession, *, created_id: str | None, status: int = 200, body: bytes | None = None
    ) -> None:
        """To be called in the transaction of `find` that makes it."""
        await repository.keep_answer(
            session,
            self._table,
            self._place,
            fingerprint=self._fingerprint,
            status=status,
            body=body,
            created_id=created_id,
        )


def key_of(table: Table) -> Callable[..., Awaitable[Key | None]]:
    """The dependency that reads the key, None where the request has none: `Depends(key_of(IdempotencyKey))`."""

    async def key(request: Request, answer: Response, principal: CurrentPrincipal, _: _Documented = None) -> Key | None:
        given = request.headers.getlist(HEADER)
        if not given:
            return None
        if len(given) > 1 or not _WELL_FORMED.fullmatch(given[0]):
            raise MalformedKey
        place = Place(
            organization_id=principal.organization_id,
            user_id=principal.user_id,
            route=f"{request.method} {request.scope['route'].path}",
            key=given[0],
        )
        return Key(table, place, fingerprint=await _fingerprint(request), headers=answer.headers)

    return key


async def _fingerprint(request: Request) -> bytes:
    asked = b"%s?%s\n" % (request.scope["path"].encode(), request.scope["query_string"])
    return sha256(asked + await request.body()).digest()
