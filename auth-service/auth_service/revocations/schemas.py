"""The feed as JSON."""

from pydantic import BaseModel

from auth_service.revocations.models import Revocation


class RevocationView(BaseModel):
    """`revoked_at` in seconds since the epoch: what was issued until then does not count any more."""

    sequence: int
    subject: str
    revoked_at: float

    @classmethod
    def of(cls, revocation: Revocation) -> "RevocationView":
        return cls(
            sequence=revocation.sequence,
            subject=revocation.subject,
            revoked_at=revocation.created_at.timestamp(),
        )


class RevocationPage(BaseModel):
    """`next` is what to ask `after` where there may be more at once, else null."""

    data: list[RevocationView]
    next: int | None

    @classmethod
    def of(cls, data: list[RevocationView], *, limit: int) -> "RevocationPage":
        return cls(data=data, next=data[-1].sequence if len(data) == limit else None)
