"""`/api/auth/service-accounts`, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends

from auth_service.audit.service import From
from auth_service.idempotency import Once
from auth_service.organizations.routes import Admin
from auth_service.service_accounts.schemas import ServiceAccountCreate, ServiceAccountUpdate, ServiceAccountView
from auth_service.service_accounts.service import ServiceAccountService
from auth_service.text import Id
from shared.database import Session
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page

router = APIRouter(prefix="/api/auth/service-accounts", tags=["auth"])


async def service_account_service(session: Session, origin: From) -> ServiceAccountService:
    return ServiceAccountService(session, origin=origin)


ServiceAccounts = Annotated[ServiceAccountService, Depends(service_account_service)]


@router.post("", status_code=201)
async def create_service_account(
    body: ServiceAccountCreate, admin: Admin, accounts: ServiceAccounts, once: Once
) -> ServiceAccountView:
    return await once(accounts.create(body, by=admin))


@router.get("")
async def list_service_accounts(
    admin: Admin, accounts: ServiceAccounts, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ServiceAccountView]:
    return await accounts.list(by=admin, limit=limit, cursor=cursor)


@router.get("/{account_id}")
async def read_service_account(account_id: Id, admin: Admin, accounts: ServiceAccounts) -> ServiceAccountView:
    return await accounts.read(account_id, by=admin)


@router.patch("/{account_id}", summary="Disable or enable a service account")
async def update_service_account(
    account_id: Id, body: ServiceAccountUpdate, admin: Admin, accounts: ServiceAccounts
) -> ServiceAccountView:
    return await accounts.update(account_id, body, by=admin)


@router.delete("/{account_id}", status_code=204, summary="Delete a service account and its keys")
async def delete_service_account(account_id: Id, admin: Admin, accounts: ServiceAccounts) -> None:
    await accounts.delete(account_id, by=admin)
