"""Authorization server metadata (RFC 8414 §2)."""

from pydantic import BaseModel

from auth_service.organizations.roles import ROLES

SCOPES = list(dict.fromkeys(scope for scopes in ROLES.values() for scope in scopes))


class ServerMetadata(BaseModel):
    """Exactly what is offered. There is no authorization endpoint, so `response_types_supported` is empty."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    scopes_supported: list[str] = SCOPES
    response_types_supported: list[str] = []
    grant_types_supported: list[str] = ["password", "refresh_token"]
    token_endpoint_auth_methods_supported: list[str] = ["none"]
    revocation_endpoint_auth_methods_supported: list[str] = ["none"]

    @classmethod
    def of(cls, issuer: str) -> "ServerMetadata":
        base = issuer.rstrip("/")
        return cls(
            issuer=issuer,
            token_endpoint=f"{base}/api/auth/token",
            revocation_endpoint=f"{base}/api/auth/revoke",
            jwks_uri=f"{base}/.well-known/jwks.json",
        )
