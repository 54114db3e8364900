"""A JSON Web Key Set (RFC 7517)."""

from pydantic import BaseModel


class Jwk(BaseModel):
    """The public half of an elliptic-curve key (RFC 7518 §6.2)."""

    kty: str
    crv: str
    x: str
    y: str
    kid: str
    alg: str
    use: str


class JwkSet(BaseModel):
    keys: list[Jwk]
