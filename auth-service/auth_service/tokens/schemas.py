"""Token requests and answers as JSON and as a form."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_USERNAME = 128
LONGEST_PASSWORD = 256
LONGEST_REFRESH_TOKEN = 128

Scope = Annotated[str, Field(max_length=1024, description="separated by spaces; narrows what the token may do")]
OrganizationId = Annotated[
    str,
    Field(
        max_length=64,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="one that the user belongs to; without it the token is for the one they joined first, "
        "and a renewed one for that of the one before",
    ),
]
ClientId = Annotated[
    str,
    Field(
        max_length=128,
        pattern=r"^[\x20-\x7e]*$",
        description="the client's name for itself; a refresh token is good for the client that got it",
    ),
]


class _Request(BaseModel):
    """Fields that nobody knows are ignored (RFC 6749 §3.2)."""

    model_config = ConfigDict(strict=True, extra="ignore")


class TokenRequest(_Request):
    """`scope` narrows what the token may do; without it the token may all that the user may."""

    username: Annotated[str, Field(min_length=1, max_length=LONGEST_USERNAME)]
    password: Annotated[str, Field(min_length=1, max_length=LONGEST_PASSWORD, repr=False)]
    scope: Scope | None = None
    organization_id: OrganizationId | None = None
    client_id: ClientId | None = None


class TokenForm(TokenRequest):
    """RFC 6749 §4.3.2."""

    grant_type: Literal["password"] = "password"  # the name of a grant


class RefreshRequest(_Request):
    """RFC 6749 §6; another `organization_id` takes the session there."""

    grant_type: Literal["refresh_token"]
    refresh_token: Annotated[str, Field(min_length=1, max_length=LONGEST_REFRESH_TOKEN, repr=False)]
    scope: Scope | None = None
    organization_id: OrganizationId | None = None
    client_id: ClientId | None = None


class RevocationRequest(_Request):
    """RFC 7009 §2.1; the hint is not needed to tell our tokens apart."""

    token: Annotated[str, Field(min_length=1, repr=False)]
    token_type_hint: Annotated[str, Field(max_length=64)] | None = None


class Token(BaseModel):
    """RFC 6749 §5.1; `expires_in` in seconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 # the name of a scheme
    expires_in: int
    scope: str


class LoginToken(Token):
    """`refresh_token` gets the next one, once."""

    refresh_token: Annotated[str, Field(repr=False)]


def _content(*models: type[BaseModel]) -> dict[str, Any]:
    schemas = [model.model_json_schema() for model in models]
    return {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}


TOKEN_REQUEST_DOCS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": _content(TokenRequest, RefreshRequest),
            "application/x-www-form-urlencoded": _content(TokenForm, RefreshRequest),
        },
    }
}
REVOCATION_REQUEST_DOCS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": _content(RevocationRequest),
            "application/json": _content(RevocationRequest),
        },
    }
}
