"""Grants as JSON."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from auth_service.grants.models import Grant
from shared.auth.tokens import LONGEST_TOKEN

LONGEST_LIFE = 30 * 24 * 3600


class GrantCreate(BaseModel):
    """`subject_token` is the user's own access token; `life` in seconds."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    subject_token: Annotated[str, Field(min_length=1, max_length=LONGEST_TOKEN, repr=False)]
    scopes: Annotated[list[Annotated[str, Field(pattern=r"^[a-z:]{1,64}$")]], Field(min_length=1, max_length=32)]
    life: Annotated[int, Field(ge=1, le=LONGEST_LIFE)]


class GrantView(BaseModel):
    id: str
    scopes: list[str]
    expires_at: datetime

    @classmethod
    def of(cls, grant: Grant) -> "GrantView":
        return cls(id=grant.id, scopes=grant.scopes, expires_at=grant.expires_at)
