"""`/.well-known/oauth-authorization-server`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from auth_service.metadata.schemas import ServerMetadata

router = APIRouter(tags=["auth"])


async def server_metadata(request: Request) -> ServerMetadata:
    metadata: ServerMetadata = request.state.metadata
    return metadata


@router.get("/.well-known/oauth-authorization-server", summary="What this server offers to clients of OAuth 2")
async def read_metadata(
    metadata: Annotated[ServerMetadata, Depends(server_metadata)], response: Response
) -> ServerMetadata:
    response.headers["cache-control"] = "public, max-age=3600"
    return metadata
