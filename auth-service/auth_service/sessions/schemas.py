"""Sessions as JSON."""

from datetime import datetime

from pydantic import BaseModel, Field

from auth_service.sessions.models import LoginSession


class SessionView(BaseModel):
    """A login that lasts. `address` and `user_agent` are those of its last use; unused, it ends at `expires_at`."""

    id: str
    organization_id: str
    client_id: str
    address: str | None
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool = Field(description="whether it is the one that asks")

    @classmethod
    def of(cls, login: LoginSession, *, current: str) -> "SessionView":
        return cls(
            id=login.id,
            organization_id=login.organization_id,
            client_id=login.client_id,
            address=login.address,
            user_agent=login.user_agent,
            created_at=login.created_at,
            last_used_at=login.last_used_at,
            expires_at=login.expires_at,
            current=login.id == current,
        )
