"""`/api/auth/sessions` and `/api/auth/logout`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from auth_service.audit.service import From
from auth_service.sessions.errors import NotALogin
from auth_service.sessions.schemas import SessionView
from auth_service.sessions.service import SessionService
from auth_service.text import AnyId
from shared.auth import CurrentPrincipal, Principal
from shared.database import Session
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page

router = APIRouter(prefix="/api/auth", tags=["auth"])


async def session_service(session: Session, origin: From) -> SessionService:
    return SessionService(session, origin=origin)


async def logged_in(principal: CurrentPrincipal) -> Principal:
    if not principal.is_login:
        raise NotALogin
    return principal


Logins = Annotated[SessionService, Depends(session_service)]
LoggedIn = Annotated[Principal, Depends(logged_in)]


@router.post("/logout", status_code=204, summary="End the session that asks")
async def log_out(principal: LoggedIn, logins: Logins) -> None:
    await logins.log_out(principal)


@router.get("/sessions", summary="Your logins that last")
async def list_sessions(
    principal: LoggedIn, logins: Logins, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[SessionView]:
    return await logins.list(principal, limit=limit, cursor=cursor)


@router.delete("/sessions", status_code=204, summary="Log out everywhere")
async def end_sessions(principal: LoggedIn, logins: Logins, keep_current: bool = False) -> None:
    await logins.end_all(principal, keep_current=keep_current)


@router.delete("/sessions/{session_id}", status_code=204, summary="End one of your sessions")
async def end_session(session_id: AnyId, principal: LoggedIn, logins: Logins) -> None:
    await logins.end(principal, session_id)
