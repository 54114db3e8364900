"""`/api/auth/organizations/{id}/invitations`, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from auth_service.audit.service import From
from auth_service.idempotency import Once
from auth_service.invitations.schemas import InvitationCreate, InvitationCreated, InvitationView
from auth_service.invitations.service import InvitationService
from auth_service.organizations.routes import Admin
from auth_service.text import Id
from shared.database import Session
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page

router = APIRouter(prefix="/api/auth/organizations/{organization_id}/invitations", tags=["auth"])


async def invitation_service(session: Session, origin: From) -> InvitationService:
    return InvitationService(session, origin=origin)


Invitations = Annotated[InvitationService, Depends(invitation_service)]


@router.post("", status_code=201)
async def create_invitation(
    organization_id: Id,
    body: InvitationCreate,
    admin: Admin,
    invitations: Invitations,
    once: Once,
    response: Response,
) -> InvitationCreated:
    """Shows the invitation's token, this once."""
    response.headers["cache-control"] = "no-store"
    return await once.with_secret(invitations.create(organization_id, body, by=admin))


@router.get("", summary="The invitations that may still be used")
async def list_invitations(
    organization_id: Id, admin: Admin, invitations: Invitations, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[InvitationView]:
    return await invitations.list(organization_id, by=admin, limit=limit, cursor=cursor)


@router.delete("/{invitation_id}", status_code=204, summary="Revoke an invitation")
async def revoke_invitation(organization_id: Id, invitation_id: Id, admin: Admin, invitations: Invitations) -> None:
    await invitations.revoke(organization_id, invitation_id, by=admin)
