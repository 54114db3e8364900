"""How one service shows another who it is: a key of its own, by HTTP Basic (RFC 7617, RFC 6749 §2.3.1)."""

import base64
import binascii
import hmac
from typing import Annotated

from fastapi import Depends, Request

from shared.derivation import SERVICE_KEY, derived_key
from shared.errors import Unauthorized

NAMES = ("gateway", "auth", "llm", "chat")


def service_key(secret: str, service: str) -> str:
    """64 hexadecimal digits, derived from SYNAPSCALE_SECRET_KEY for this service alone."""
    return derived_key(secret, purpose=SERVICE_KEY + service).hex()


def service_authorization(secret: str, service: str) -> str:
    """The value of the Authorization header that `service` shows."""
    return "Basic " + base64.b64encode(f"{service}:{service_key(secret, service)}".encode()).decode()


def authenticated_service(authorization: str | None, *, secret: str) -> str | None:
    """The name of the service that shows its own key, or None."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, key = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    if name not in NAMES or not hmac.compare_digest(key.encode(), service_key(secret, name).encode()):
        return None
    return name


class NotAService(Unauthorized):
    """Routes for services take no user's credential, and no service's but with its own key."""

    def __init__(self) -> None:
        super().__init__("This is for services, each with its own key.")

    @property
    def headers(self) -> dict[str, str]:
        return {"www-authenticate": 'Basic realm="synapscale services"'}


async def calling_service(request: Request) -> str:
    """Raises NotAService. The service that is called has the secret in its lifespan's state."""
    name = authenticated_service(request.headers.get("authorization"), secret=request.state.secret)
    if name is None:
        raise NotAService
    return name


CallingService = Annotated[str, Depends(calling_service)]
