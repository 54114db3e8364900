"""`/api/auth/api-keys`."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from auth_service.api_keys.schemas import ApiKeyChange, ApiKeyCreate, ApiKeyCreated, ApiKeyRotate, ApiKeyView
from auth_service.api_keys.service import ApiKeyService
from auth_service.audit.service import From
from auth_service.idempotency import Once
from auth_service.text import AnyId
from shared.auth import CurrentPrincipal
from shared.database import Session
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page

router = APIRouter(prefix="/api/auth/api-keys", tags=["api keys"])


async def api_key_service(session: Session, principal: CurrentPrincipal, origin: From) -> ApiKeyService:
    return ApiKeyService(session, by=principal, origin=origin)


ApiKeys = Annotated[ApiKeyService, Depends(api_key_service)]
OfUser = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]+$", description="for admins")]


@router.post("", status_code=201, summary="Make an API key")
async def create_api_key(body: ApiKeyCreate, keys: ApiKeys, once: Once, response: Response) -> ApiKeyCreated:
    response.headers["cache-control"] = "no-store"
    return await once.with_secret(keys.create(body))


@router.get("", summary="List API keys")
async def list_api_keys(
    keys: ApiKeys, user_id: OfUser = None, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ApiKeyView]:
    return await keys.page(user_id=user_id, cursor=cursor, limit=limit)


@router.get("/{key_id}", summary="Read an API key")
async def read_api_key(key_id: AnyId, keys: ApiKeys) -> ApiKeyView:
    return await keys.read(key_id)


@router.patch("/{key_id}", summary="Change an API key")
async def change_api_key(key_id: AnyId, body: ApiKeyChange, keys: ApiKeys) -> ApiKeyView:
    return await keys.change(key_id, body)


@router.delete("/{key_id}", status_code=204, summary="Revoke an API key")
async def revoke_api_key(key_id: AnyId, keys: ApiKeys) -> None:
    await keys.revoke(key_id)


@router.post("/{key_id}/rotate", status_code=201, summary="Replace an API key")
async def rotate_api_key(
    key_id: AnyId, keys: ApiKeys, once: Once, response: Response, body: ApiKeyRotate | None = None
) -> ApiKeyCreated:
    response.headers["cache-control"] = "no-store"
    overlap = (body or ApiKeyRotate()).overlap_seconds
    return await once.with_secret(keys.rotate(key_id, overlap=timedelta(seconds=overlap)))
