"""Users as JSON."""

from datetime import datetime

from pydantic import BaseModel, Field, field_validator

from auth_service.organizations.roles import Role
from auth_service.text import Body, Email, Line, Password, Username
from auth_service.users.models import User
from auth_service.users.repository import Member


class OrganizationView(BaseModel):
    id: str
    name: str


class Me(BaseModel):
    """Who the token says you are: in one organization, in one role, with the token's scopes."""

    id: str
    username: str
    email: str | None
    display_name: str | None
    organization: OrganizationView
    role: str
    scopes: list[str]

    @classmethod
    def of(cls, member: Member, *, scopes: frozenset[str]) -> "Me":
        return cls(
            id=member.user.id,
            username=member.user.username,
            email=member.user.email,
            display_name=member.user.display_name,
            organization=OrganizationView(id=member.organization.id, name=member.organization.name),
            role=member.role,
            scopes=sorted(scopes),
        )


class MeUpdate(Body):
    """What is absent stays, null removes."""

    email: Email | None = None
    display_name: Line | None = None


class PasswordChange(Body):
    current_password: Password = Field(repr=False)
    new_password: Password = Field(repr=False)


class UserCreate(Body):
    """A new account that belongs to the administrator's organization."""

    username: Username
    password: Password = Field(repr=False)
    email: Email | None = None
    display_name: Line | None = None
    role: Role = "member"


class UserUpdate(Body):
    """What is absent stays; null removes `email` or `display_name`. Roles change at the organization's members."""

    username: Username | None = None
    email: Email | None = None
    display_name: Line | None = None
    password: Password | None = Field(None, repr=False)
    disabled: bool | None = None

    @field_validator("username", "password", "disabled", mode="before")
    @classmethod
    def _stays(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null")
        return value


class UserView(BaseModel):
    """`managed`: the account belongs to this organization. Of others' accounts it sees neither e-mail nor state."""

    id: str
    username: str
    email: str | None
    display_name: str | None
    role: str
    managed: bool
    disabled: bool
    created_at: datetime

    @classmethod
    def of(cls, user: User, *, role: str, organization_id: str) -> "UserView":
        managed = user.organization_id == organization_id
        return cls(
            id=user.id,
            username=user.username,
            email=user.email if managed else None,
            display_name=user.display_name,
            role=role,
            managed=managed,
            disabled=managed and user.disabled_at is not None,
            created_at=user.created_at,
        )
