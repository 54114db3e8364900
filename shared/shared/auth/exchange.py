"""The names of token exchange (RFC 8693 §2.1, §3), and of the subject tokens that are our own."""

from typing import Literal

GrantType = Literal["urn:ietf:params:oauth:grant-type:token-exchange"]
AccessTokenType = Literal["urn:ietf:params:oauth:token-type:access_token"]

EXCHANGE: GrantType = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: AccessTokenType = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 # the name of a type
GRANT = "urn:synapscale:params:oauth:token-type:grant"
API_KEY = "urn:synapscale:params:oauth:token-type:api-key"
FOREIGN_TOKEN = "urn:ietf:params:oauth:token-type:jwt"  # noqa: S105 # the name of a type
"""A JWT of another issuer."""
