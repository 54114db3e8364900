"""`/internal/auth/grants`: for authenticated services; the gateway does not route it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth_service.audit.service import From
from auth_service.grants.schemas import GrantCreate, GrantView
from auth_service.grants.service import GrantService
from shared.auth.services import CallingService
from shared.database import Session

router = APIRouter(prefix="/internal/auth/grants", include_in_schema=False)


async def grant_service(request: Request, session: Session) -> GrantService:
    return GrantService(session, verifier=request.state.verifier)


Grants = Annotated[GrantService, Depends(grant_service)]


@router.post("", status_code=201)
async def create_grant(body: GrantCreate, service: CallingService, grants: Grants, origin: From) -> GrantView:
    return await grants.create(body, service=service, origin=origin)


@router.delete("/{grant_id}", status_code=204)
async def delete_grant(grant_id: str, service: CallingService, grants: Grants, origin: From) -> None:
    await grants.end(grant_id, service=service, origin=origin)
