"""Invitations as JSON."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from auth_service.organizations.models import Invitation
from auth_service.organizations.roles import Role
from auth_service.text import Body, Email

LONGEST_HOURS = 30 * 24


class InvitationCreate(Body):
    """With an e-mail address, only whoever registers with it is let in."""

    role: Role = "member"
    email: Email | None = None
    expires_in_hours: Annotated[int, Field(ge=1, le=LONGEST_HOURS)] = 7 * 24


class InvitationView(BaseModel):
    id: str
    role: str
    email: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, invitation: Invitation) -> "InvitationView":
        return cls(**{name: getattr(invitation, name) for name in InvitationView.model_fields})


class InvitationCreated(InvitationView):
    """`token` is shown this once."""

    token: str = Field(repr=False)
