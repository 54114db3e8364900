"""What auth-service reads from the environment."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from auth_service.external.schemas import OidcIssuer, is_safe_address
from shared.settings import ServiceSettings, is_weak

Registration = Literal["closed", "invite", "open"]
SHORTEST_ADMIN_PASSWORD = 12


class Settings(ServiceSettings):
    """auth-service's own, beside what every service reads."""

    admin_username: str = Field("admin", min_length=1, max_length=128, description="made at the first start")
    admin_password: str | None = Field(
        None, max_length=256, repr=False, description="of that user; development generates one"
    )
    session_idle_days: float = Field(14, gt=0, le=3650, description="a login that is not used for so long ends")
    session_max_days: float = Field(90, gt=0, le=3650, description="a login ends after so long, used or not")
    registration: Registration = Field(
        "closed", description="invite: with an invitation; open: anybody, with an organization of their own"
    )
    oidc_issuers: Annotated[tuple[OidcIssuer, ...], NoDecode] = Field(
        (), description="issuers whose tokens are taken: a JSON array, or the path of a file with one"
    )

    @field_validator("oidc_issuers", mode="before")
    @classmethod
    def _read_issuers(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        try:
            text = given if given.lstrip().startswith("[") else Path(given).read_text()
            return msgspec.json.decode(text, type=list)
        except OSError as error:
            raise ValueError(f"is neither a JSON array nor a file that can be read: {error.strerror}") from None
        except msgspec.MsgspecError as error:
            raise ValueError(f"is not a JSON array: {error}") from None

    @model_validator(mode="after")
    def _issuers_can_be_told_apart(self) -> Self:
        seen = {self.public_url}
        for number, entry in enumerate(self.oidc_issuers):
            if not is_safe_address(entry.issuer, loopback=self.env == "development"):
                raise ValueError(f"SYNAPSCALE_OIDC_ISSUERS: entry {number}: {entry.issuer} is not https")
            if entry.issuer in seen:
                raise ValueError(f"SYNAPSCALE_OIDC_ISSUERS: entry {number}: {entry.issuer} is there already, or is us")
            seen.add(entry.issuer)
        return self

    def weaknesses(self) -> list[str]:
        problems = super().weaknesses()
        if is_weak(self.given_or_kept("admin_password"), shortest=SHORTEST_ADMIN_PASSWORD):
            problems.append(
                f"SYNAPSCALE_ADMIN_PASSWORD is missing, default or shorter than {SHORTEST_ADMIN_PASSWORD} characters"
            )
        return problems
