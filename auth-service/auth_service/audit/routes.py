"""`/api/auth/audit-events`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from auth_service.audit.schemas import AuditEventView, AuditFilter
from auth_service.audit.service import AuditService
from auth_service.organizations.routes import Admin
from auth_service.organizations.service import administrator
from shared.auth import Principal
from shared.database import Session
from shared.pagination import Page

router = APIRouter(prefix="/api/auth/audit-events", tags=["auth"])


async def audit_service(session: Session) -> AuditService:
    return AuditService(session)


Audit = Annotated[AuditService, Depends(audit_service)]


async def auditor(admin: Admin, session: Session) -> Principal:
    await administrator(session, admin)
    return admin


Auditor = Annotated[Principal, Depends(auditor)]


@router.get("")
async def list_audit_events(
    wanted: Annotated[AuditFilter, Query()], auditor: Auditor, audit: Audit
) -> Page[AuditEventView]:
    """What happened in the token's organization, the last first."""
    return await audit.page(wanted, auditor=auditor)
