"""`/.well-known/jwks.json`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from auth_service.keys.schemas import JwkSet
from auth_service.keys.service import KeyRing

router = APIRouter(tags=["auth"])


def key_ring(request: Request) -> KeyRing:
    ring: KeyRing = request.state.key_ring
    return ring


Keys = Annotated[KeyRing, Depends(key_ring)]


@router.get("/.well-known/jwks.json", summary="The keys that verify access tokens", response_model=JwkSet)
async def read_jwks(keys: Keys, response: Response) -> dict[str, Any]:
    response.headers["cache-control"] = "public, max-age=300"
    return keys.jwks
