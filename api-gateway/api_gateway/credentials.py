"""Which credential a request shows, and of which kind it is: all that is known before anybody is asked."""

import base64
import binascii

import msgspec
from starlette.types import Scope

from api_gateway.requests import Headers
from shared.auth import bearer_token
from shared.errors import MalformedRequest, Unauthorized

API_KEY_HEADER = b"x-api-key"
AUTHORIZATION = b"authorization"


def credential_of(scope: Scope, *, api_key_header: bool) -> str:
    """The bearer token, or the `x-api-key` where it counts.

    Raises Unauthorized where there is none, MalformedRequest where there are two that differ: nobody could say which
    of them the client meant.
    """
    found: set[str | None] = {bearer_token(value) for value in _values(scope, AUTHORIZATION)}
    if api_key_header:
        found |= {value.strip() for value in _values(scope, API_KEY_HEADER)}
    if len(found) > 1:
        raise MalformedRequest("The request shows two credentials, and they differ.")
    credential = found.pop() if found else None
    if credential is None:
        raise Unauthorized("Send an access token or an API key: Authorization: Bearer <token>.")
    return credential


def with_token(headers: Headers, token: str) -> Headers:
    """The headers as they go on: whatever the client showed, what is behind the gateway sees our token alone."""
    kept = [(name, value) for name, value in headers if name not in (AUTHORIZATION, API_KEY_HEADER)]
    return [*kept, (AUTHORIZATION, b"Bearer " + token.encode())]


class _Claims(msgspec.Struct):
    iss: str


def unverified_issuer(token: str) -> str | None:
    """Who a JWT says has made it, unchecked: good for nothing but to choose who shall check it."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(payload, type=_Claims).iss
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for each, value in scope["headers"] if each == name and value.strip()]
