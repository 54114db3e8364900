"""Service accounts as JSON."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from auth_service.text import Body, Line
from auth_service.users.models import User


class ServiceAccountCreate(Body):
    """Programs own no organization."""

    name: Line
    role: Literal["admin", "developer", "member", "viewer"] = "member"


class ServiceAccountUpdate(Body):
    disabled: bool


class ServiceAccountView(BaseModel):
    id: str
    name: str
    role: str
    disabled: bool
    created_at: datetime

    @classmethod
    def of(cls, account: User, *, role: str) -> "ServiceAccountView":
        return cls(
            id=account.id,
            name=account.display_name or account.username,
            role=role,
            disabled=account.disabled_at is not None,
            created_at=account.created_at,
        )
