"""Ends access tokens before they expire."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.grants.repository import revoke_grants
from auth_service.revocations import models, repository
from shared.auth.revocations import KEPT_FOR, Revocation, RevocationFeed
from shared.database import Sessions

AT_ONCE = 1000
"""Subjects of one statement, which takes 32,767 parameters: a stolen password makes many logins to be ended."""


async def revoke(session: AsyncSession, *subjects: str) -> None:
    """In force with the session's commit, and everywhere within the time that the feed's followers take.

    A subject is a session, an API key, a grant, a user, or `user/organization`; the grants that rest on it end with
    it. Do it last in a transaction: one transaction at a time gets past this until it commits.
    """
    if not subjects:
        return
    await repository.wait_for_turn(session)
    await repository.delete_expired_revocations(session)
    for start in range(0, len(subjects), AT_ONCE):
        batch = subjects[start : start + AT_ONCE]
        grants = await revoke_grants(session, batch)
        ended = dict.fromkeys([*batch, *grants])
        await repository.add_revocations(session, list(ended), life=timedelta(seconds=KEPT_FOR))


async def list_revocations(session: AsyncSession, *, after: int, limit: int) -> Sequence[models.Revocation]:
    return await repository.list_revocations(session, after=after, limit=limit)


class OwnRevocations(RevocationFeed):
    """auth-service follows its own table: another replica may have written to it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def revocations(self, *, after: int, limit: int) -> Sequence[Revocation]:
        async with self._sessions() as session:
            found = await repository.list_revocations(session, after=after, limit=limit)
        return [
            Revocation(sequence=each.sequence, subject=each.subject, revoked_at=each.created_at.timestamp())
            for each in found
        ]
