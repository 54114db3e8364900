"""Token exchange as a form and as JSON."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from auth_service.tokens.schemas import Token
from shared.auth.exchange import ACCESS_TOKEN, AccessTokenType, GrantType
from shared.auth.tokens import LONGEST_TOKEN


class ExchangeRequest(BaseModel):
    """RFC 8693 §2.1, as far as it is used."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    grant_type: GrantType
    subject_token: Annotated[str, Field(min_length=1, max_length=LONGEST_TOKEN, repr=False)]
    subject_token_type: Annotated[str, Field(min_length=1, max_length=128)]
    scope: Annotated[str, Field(max_length=1024, description="separated by spaces")] | None = None


class ExchangedToken(BaseModel):
    """RFC 8693 §2.2.1; `expires_in` in seconds."""

    access_token: str
    issued_token_type: AccessTokenType = ACCESS_TOKEN
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 # the name of a scheme
    expires_in: int
    scope: str

    @classmethod
    def of(cls, token: Token) -> "ExchangedToken":
        return cls(access_token=token.access_token, expires_in=token.expires_in, scope=token.scope)
