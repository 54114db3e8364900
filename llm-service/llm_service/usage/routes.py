"""`GET /api/llm/usage`."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from llm_service.usage.schemas import Usage, UsageFilter, as_csv
from llm_service.usage.service import UsageService, columns_of
from shared.auth import Principal, requires

router = APIRouter(tags=["llm"])

UsageReader = Annotated[Principal, Depends(requires("usage:read"))]
CSV = "text/csv"
DOCS: dict[int | str, dict[str, Any]] = {
    200: {"model": Usage, "content": {CSV: {"schema": {"type": "string"}}}},
}


async def usage_service(request: Request, reader: UsageReader) -> UsageService:
    return UsageService(request.state.sessions, reader=reader)


UsageOf = Annotated[UsageService, Depends(usage_service)]


@router.get("/api/llm/usage", summary="Sum up usage", responses=DOCS, response_model=None)
async def read_usage(asked: Annotated[UsageFilter, Query()], request: Request, usage: UsageOf) -> Response:
    rows, columns = await usage.read(asked), columns_of(asked)
    if (asked.format or _accepted(request)) == "csv":
        return Response(as_csv(rows, columns=columns), media_type=CSV)
    told = msgspec.json.encode({"data": rows, "next_cursor": None})  # pydantic takes longer than PostgreSQL
    return Response(told, media_type="application/json")


def _accepted(request: Request) -> str:
    accept = request.headers.get("accept", "")
    return "csv" if CSV in accept and "json" not in accept else "json"
