"""Token requests and answers as JSON and as a form."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_USERNAME = 128
LONGEST_PASSWORD = 256


class TokenRequest(BaseModel):
    """`scope` narrows what the token may do; without it the token may all that the user may."""

    model_config = ConfigDict(strict=True, extra="ignore")

    username: Annotated[str, Field(min_length=1, max_length=LONGEST_USERNAME)]
    password: Annotated[str, Field(min_length=1, max_length=LONGEST_PASSWORD, repr=False)]
    scope: Annotated[str, Field(max_length=1024, description="separated by spaces")] | None = None


class TokenForm(TokenRequest):
    """RFC 6749 §4.3.2."""

    grant_type: Literal["password"] = "password"  # the name of a grant


class Token(BaseModel):
    """RFC 6749 §5.1; `expires_in` in seconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 # the name of a scheme
    expires_in: int
    scope: str


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": model.model_json_schema()}


TOKEN_REQUEST_DOCS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": _content(TokenRequest),
            "application/x-www-form-urlencoded": _content(TokenForm),
        },
    }
}
