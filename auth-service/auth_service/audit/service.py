"""Audit events: who, what, target, from where, result. Anything may write them, admins read their own."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.models import AuditEvent
from auth_service.audit.repository import Narrowed, add_audit_event, list_audit_events
from auth_service.audit.schemas import AuditEventView, AuditFilter
from shared.auth import Principal
from shared.errors import MalformedRequest
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor
from shared.request_id import request_id_of

LONGEST_USER_AGENT = 256
EVENT_ID = "evt"
_WELL_FORMED_ID = re.compile(EVENT_ID + r"_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


async def origin_of(request: Request) -> Origin:
    """The address is what the gateway says: it overwrites what a client claims."""
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    agent = request.headers.get("user-agent", "")[:LONGEST_USER_AGENT]
    address = forwarded or (request.client.host if request.client else None)
    return Origin(address=address, user_agent=agent or None, request_id=request_id_of(request.scope) or None)


From = Annotated[Origin, Depends(origin_of)]


def record(
    session: AsyncSession,
    action: str,
    *,
    origin: Origin,
    by: Principal | None = None,
    actor: str | None = None,
    organization_id: str | None = None,
    target: str | None = None,
    result: Literal["success", "failure"] = "success",
    **details: Any,
) -> None:
    """Adds the event to the session's transaction.

    `action` is `noun.verb` (`user.disable`). `by` gives actor and organization unless they are named.
    `details` holds no secret and no free text of a client's.
    """
    event = AuditEvent(
        id=new_id(EVENT_ID),
        organization_id=organization_id or (by.organization_id if by else None),
        actor=actor or (by.user_id if by else None),
        action=action,
        target=target,
        result=result,
        address=origin.address,
        user_agent=origin.user_agent,
        request_id=origin.request_id,
        details=details,
    )
    add_audit_event(session, event)


class AuditService:
    """What admins may know of their organization."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def page(self, wanted: AuditFilter, *, auditor: Principal) -> Page[AuditEventView]:
        """Newest first. Events of no organization (a login by an unknown name) are nobody's to read here."""
        narrowed = Narrowed(
            action=wanted.action,
            actor=wanted.actor,
            target=wanted.target,
            result=wanted.result,
            since=wanted.since,
            until=wanted.until,
        )
        before = None if wanted.cursor is None else _position(wanted.cursor)
        found = await list_audit_events(
            self._session,
            narrowed,
            organization_id=auditor.organization_id,
            limit=wanted.limit + 1,
            before=before,
        )
        shown = found[: wanted.limit]
        next_cursor = encode_cursor(shown[-1].id) if len(found) > wanted.limit else None
        return Page(data=[AuditEventView.model_validate(each) for each in shown], next_cursor=next_cursor)


def _position(cursor: str) -> str:
    (event_id,) = decode_cursor(cursor, parts=1)
    if not _WELL_FORMED_ID.fullmatch(event_id):
        raise MalformedRequest("The cursor is not one that this API gave out.")
    return event_id
