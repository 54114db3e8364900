"""Which requests a caller may see."""

import re
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from llm_service.ledger.readers import only_of
from llm_service.ledger.records import PREFIX
from llm_service.requests.errors import RequestNotFound
from llm_service.requests.repository import Narrowed, find_request, list_attempts, list_requests
from llm_service.requests.schemas import REQUEST_ID, AttemptView, RequestFilter, RequestView, RequestWithAttempts
from shared.auth import Principal
from shared.errors import MalformedRequest
from shared.pagination import Page, decode_cursor, encode_cursor


class RequestService:
    """Admins see their organization's requests, others their own."""

    def __init__(self, session: AsyncSession, *, reader: Principal) -> None:
        self._session = session
        self._reader = reader

    async def page(self, asked: RequestFilter) -> Page[RequestView]:
        """Newest first."""
        before = None if asked.cursor is None else _position(asked.cursor)
        narrowed = Narrowed(
            user_id=asked.user,
            key_id=asked.key,
            model=asked.model,
            result=asked.result,
            request_id=asked.request_id,
        )
        found = await list_requests(
            self._session,
            narrowed,
            organization_id=self._reader.organization_id,
            only_of=only_of(self._reader),
            since=asked.since,
            until=asked.until,
            before=before,
            limit=asked.limit + 1,
        )
        shown = found[: asked.limit]
        more = encode_cursor(shown[-1].id.hex) if len(found) > asked.limit else None
        return Page(data=[RequestView.of(each) for each in shown], next_cursor=more)

    async def read(self, name: str) -> RequestWithAttempts:
        """Raises RequestNotFound."""
        if not re.fullmatch(REQUEST_ID, name):
            raise RequestNotFound
        request_id = UUID(hex=name.removeprefix(PREFIX))
        organization_id, only = self._reader.organization_id, only_of(self._reader)
        found = await find_request(self._session, request_id, organization_id=organization_id, only_of=only)
        if found is None:
            raise RequestNotFound
        attempts = await list_attempts(self._session, request_id, organization_id=organization_id)
        told = RequestView.of(found).model_dump()
        return RequestWithAttempts(**told | {"attempts": [AttemptView.of(each) for each in attempts]})


def _position(cursor: str) -> UUID:
    (hexadecimal,) = decode_cursor(cursor, parts=1)
    try:
        return UUID(hex=hexadecimal)
    except ValueError:
        raise MalformedRequest("The cursor is not one that this API gave out.") from None
