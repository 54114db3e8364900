"""`GET /api/llm/requests` and `/{id}`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from llm_service.requests.schemas import REQUEST_ID, RequestFilter, RequestView, RequestWithAttempts
from llm_service.requests.service import RequestService
from shared.auth import Principal, requires
from shared.database import Session
from shared.pagination import Page

router = APIRouter(prefix="/api/llm/requests", tags=["llm"])

UsageReader = Annotated[Principal, Depends(requires("usage:read"))]
RequestName = Annotated[str, Path(json_schema_extra={"pattern": REQUEST_ID})]


async def request_service(session: Session, reader: UsageReader) -> RequestService:
    return RequestService(session, reader=reader)


Requests = Annotated[RequestService, Depends(request_service)]


@router.get("", summary="List requests")
async def list_requests(asked: Annotated[RequestFilter, Query()], requests: Requests) -> Page[RequestView]:
    return await requests.page(asked)


@router.get("/{id}", summary="Read a request with its attempts")
async def read_request(id: RequestName, requests: Requests) -> RequestWithAttempts:
    return await requests.read(id)
