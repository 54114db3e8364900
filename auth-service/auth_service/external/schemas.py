"""Which issuers are trusted, and what their claims mean here: the setting SYNAPSCALE_OIDC_ISSUERS."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from auth_service.organizations.roles import ROLES

Algorithm = Literal["RS256", "ES256", "PS256", "EdDSA"]
"""Never an HMAC: whoever can check such a signature can also make one."""
Text = Annotated[str, Field(min_length=1, max_length=512)]


def _is_role(role: str) -> str:
    if role not in ROLES:
        raise ValueError(f"must be one of {', '.join(ROLES)}")
    return role


Role = Annotated[str, AfterValidator(_is_role)]


class OidcIssuer(BaseModel):
    """An entry. Names of claims may lead into objects: `realm_access.roles`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[Text, Field(description="exactly as the tokens' `iss` says it")]
    audience: Annotated[Text, Field(description="what the tokens' `aud` must name")]
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256", "PS256", "EdDSA")
    organization: Annotated[Text, Field(description="the organization of all its users")] | None = None
    organization_claim: Annotated[Text, Field(description="the claim that says which of `organizations`")] | None = None
    organizations: Mapping[str, Text] = {}
    role_claim: Text | None = None
    roles: Mapping[str, Role] = {}
    default_role: Annotated[Role, Field(description="where no claim says another; null refuses")] | None = None
    username_claim: Text = "preferred_username"
    email_claim: Text = "email"

    @field_validator("issuer")
    @classmethod
    def _is_an_address(cls, issuer: str) -> str:
        parts = urlsplit(issuer)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an https address without query or fragment")
        return issuer

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if (self.organization is None) == (self.organization_claim is None):
            raise ValueError("give either organization, or organization_claim with organizations")
        if (self.organization_claim is None) != (not self.organizations):
            raise ValueError("organization_claim and organizations go together")
        if (self.role_claim is None) != (not self.roles):
            raise ValueError("role_claim and roles go together")
        if not self.roles and self.default_role is None:
            raise ValueError("without roles or default_role nobody is let in")
        return self

    def organization_of(self, claims: Mapping[str, Any]) -> str | None:
        """The organization's id; None where the claims lead to none, or to more than one."""
        if self.organization_claim is None:
            return self.organization
        known = {
            self.organizations[value] for value in _words(claims, self.organization_claim) & set(self.organizations)
        }
        return known.pop() if len(known) == 1 else None

    def role_of(self, claims: Mapping[str, Any]) -> str | None:
        """The strongest role that the claims give."""
        given = {self.roles[value] for value in _words(claims, self.role_claim or "") & set(self.roles)}
        return next((role for role in ROLES if role in given), self.default_role)

    def username_of(self, claims: Mapping[str, Any]) -> str | None:
        return _word(claims, self.username_claim)

    def email_of(self, claims: Mapping[str, Any]) -> str | None:
        """Only one that the issuer has verified (OpenID Connect Core §5.1)."""
        return _word(claims, self.email_claim) if claims.get("email_verified") is True else None


def is_safe_address(url: str, *, loopback: bool) -> bool:
    """https; with `loopback` also http to this host."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme != "http" or not loopback or not parts.hostname:
        return False
    try:
        return ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def _value(claims: Mapping[str, Any], name: str) -> Any:
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _word(claims: Mapping[str, Any], name: str) -> str | None:
    value = _value(claims, name)
    return value if isinstance(value, str) and value.strip() else None


def _words(claims: Mapping[str, Any], name: str) -> set[str]:
    value = _value(claims, name)
    values = value if isinstance(value, list) else [value]
    return {word for word in values if isinstance(word, str)}
