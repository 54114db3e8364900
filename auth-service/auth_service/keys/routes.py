"""`/.well-known/jwks.json`."""

import hashlib
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Request, Response

from auth_service.keys.schemas import JwkSet
from auth_service.keys.service import KeyRing

router = APIRouter(tags=["auth"])

FRESH_FOR = 300
"""Seconds that a JWKS may be kept: half of the time for which a key is published before it signs."""


async def key_ring(request: Request) -> KeyRing:
    ring: KeyRing = request.state.key_ring
    return ring


Keys = Annotated[KeyRing, Depends(key_ring)]
IfNoneMatch = Annotated[str | None, Header()]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The keys are those of that `ETag`"}}


@router.get(
    "/.well-known/jwks.json",
    summary="The keys that verify access tokens",
    response_model=JwkSet,
    responses=NOT_MODIFIED,
)
async def read_jwks(keys: Keys, if_none_match: IfNoneMatch = None) -> Response:
    body = msgspec.json.encode(keys.jwks)
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"cache-control": f"public, max-age={FRESH_FOR}", "etag": tag}
    if is_named(tag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def is_named(tag: str, if_none_match: str | None) -> bool:
    """Whether a client has the representation of that `tag` (RFC 9110 §13.1.2, by the weak comparison)."""
    named = {one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")}
    return tag in named or "*" in named
