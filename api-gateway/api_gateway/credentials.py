"""Which credential a request shows, and of which kind it is: all that is known before anybody is asked."""

import base64
import binascii

import msgspec

from api_gateway.requests import Headers
from shared.auth import bearer_token
from shared.errors import MalformedRequest, Unauthorized

AUTHORIZATION = b"authorization"


def credential_of(shown: Headers, *, api_key_header: bool) -> str:
    """The bearer token, or the `x-api-key` where it counts, of the headers in which credentials are.

    Raises Unauthorized where there is none, MalformedRequest where there are two that differ: nobody could say which
    of them the client meant.
    """
    found = {
        bearer_token(value.decode("latin-1")) if name == AUTHORIZATION else value.decode("latin-1").strip()
        for name, value in shown
        if (name == AUTHORIZATION or api_key_header) and value.strip()
    }
    if len(found) > 1:
        raise MalformedRequest("The request shows two credentials, and they differ.")
    credential = found.pop() if found else None
    if credential is None:
        raise Unauthorized("Send an access token or an API key: Authorization: Bearer <token>.")
    return credential


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
