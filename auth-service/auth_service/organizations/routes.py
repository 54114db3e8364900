"""`/api/auth/organizations` and their members."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth_service.audit.service import From
from auth_service.idempotency import Once
from auth_service.organizations.schemas import (
    MemberCreate,
    MemberUpdate,
    MemberView,
    OrganizationView,
    OrganizationWrite,
)
from auth_service.organizations.service import ADMINISTER, OrganizationService
from auth_service.sessions.routes import LoggedIn
from auth_service.text import Id
from shared.auth import CurrentPrincipal, Principal, requires
from shared.database import Session
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page

router = APIRouter(prefix="/api/auth/organizations", tags=["auth"])


async def organization_service(request: Request, session: Session, origin: From) -> OrganizationService:
    return OrganizationService(session, registration=request.state.registration, origin=origin)


Organizations = Annotated[OrganizationService, Depends(organization_service)]
Admin = Annotated[Principal, Depends(requires(ADMINISTER))]


@router.post("", status_code=201)
async def create_organization(
    body: OrganizationWrite, principal: LoggedIn, organizations: Organizations, once: Once
) -> OrganizationView:
    """Yours, as its owner. Needs the scope `admin` unless registration is open."""
    return await once(organizations.create(body, by=principal))


@router.get("", summary="The organizations that you belong to")
async def list_organizations(
    principal: LoggedIn, organizations: Organizations, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[OrganizationView]:
    return await organizations.list(by=principal, limit=limit, cursor=cursor)


@router.get("/{organization_id}")
async def read_organization(
    organization_id: Id, principal: CurrentPrincipal, organizations: Organizations
) -> OrganizationView:
    return await organizations.read(organization_id, by=principal)


@router.patch("/{organization_id}", summary="Rename the token's organization")
async def rename_organization(
    organization_id: Id, body: OrganizationWrite, admin: Admin, organizations: Organizations
) -> OrganizationView:
    return await organizations.rename(organization_id, body, by=admin)


@router.delete("/{organization_id}", status_code=204, summary="Delete the token's organization")
async def delete_organization(organization_id: Id, admin: Admin, organizations: Organizations) -> None:
    """Only by an owner, and only while no account belongs to it."""
    await organizations.delete(organization_id, by=admin)


@router.get("/{organization_id}/members")
async def list_members(
    organization_id: Id,
    admin: Admin,
    organizations: Organizations,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[MemberView]:
    return await organizations.list_members(organization_id, by=admin, limit=limit, cursor=cursor)


@router.post("/{organization_id}/members", status_code=201)
async def add_member(
    organization_id: Id, body: MemberCreate, admin: Admin, organizations: Organizations, once: Once
) -> MemberView:
    return await once(organizations.add_member(organization_id, body, by=admin))


@router.patch("/{organization_id}/members/{user_id}")
async def change_role(
    organization_id: Id, user_id: Id, body: MemberUpdate, admin: Admin, organizations: Organizations
) -> MemberView:
    return await organizations.change_role(organization_id, user_id, body, by=admin)


@router.delete("/{organization_id}/members/{user_id}", status_code=204)
async def remove_member(
    organization_id: Id, user_id: Id, principal: CurrentPrincipal, organizations: Organizations
) -> None:
    """Others: by an administrator of the token's organization. Oneself: from any that one was added to."""
    await organizations.remove_member(organization_id, user_id, by=principal)
