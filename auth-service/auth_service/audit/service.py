"""Writes audit events: who, what, target, from where, result."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.models import AuditEvent
from auth_service.audit.repository import add_audit_event
from shared.auth import Principal
from shared.ids import new_id
from shared.request_id import request_id_of

LONGEST_USER_AGENT = 256


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


def origin_of(request: Request) -> Origin:
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
        id=new_id("evt"),
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
