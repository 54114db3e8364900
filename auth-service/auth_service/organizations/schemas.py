"""Organizations and their members as JSON."""

from datetime import datetime

from pydantic import BaseModel

from auth_service.organizations.models import Organization
from auth_service.organizations.roles import Role
from auth_service.text import Body, Line, Username
from auth_service.users.repository import Member


class OrganizationWrite(Body):
    name: Line


class OrganizationView(BaseModel):
    """`role` is the caller's."""

    id: str
    name: str
    role: str
    created_at: datetime

    @classmethod
    def of(cls, organization: Organization, *, role: str) -> "OrganizationView":
        return cls(id=organization.id, name=organization.name, role=role, created_at=organization.created_at)


class MemberCreate(Body):
    """Somebody who has an account already, here or in another organization."""

    username: Username
    role: Role


class MemberUpdate(Body):
    role: Role


class MemberView(BaseModel):
    user_id: str
    username: str
    display_name: str | None
    kind: str
    role: str

    @classmethod
    def of(cls, member: Member) -> "MemberView":
        user = member.user
        return cls(
            user_id=user.id,
            username=user.username,
            display_name=user.display_name,
            kind=user.kind,
            role=member.role,
        )
