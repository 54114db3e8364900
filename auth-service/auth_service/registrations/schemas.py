"""Registrations as JSON."""

from typing import Annotated

from pydantic import BaseModel, Field

from auth_service.text import Body, Email, Line, Password, Username


class Registration(Body):
    """With an invitation into its organization, without one into an organization of one's own."""

    username: Username
    password: Password = Field(repr=False)
    email: Email | None = None
    display_name: Line | None = None
    invitation: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(None, repr=False)
    organization_name: Line | None = None


class Registered(BaseModel):
    """The new account; log in to get a token."""

    id: str
    username: str
    organization_id: str
    role: str
