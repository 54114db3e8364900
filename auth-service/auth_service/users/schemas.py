"""Users as JSON."""

from pydantic import BaseModel

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
