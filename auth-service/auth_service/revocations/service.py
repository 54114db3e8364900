"""Ends access tokens before they expire."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.revocations import repository
from auth_service.tokens.issuer import LIFE

MARGIN = 120
"""Seconds beyond the longest life of a token: clocks differ, and caches lag."""


async def revoke(session: AsyncSession, *subjects: str) -> None:
    """In force with the session's commit, and everywhere within the time that the feed's followers take.

    A subject is a session, an API key, a grant, a user, or `user/organization`. Do it last in a transaction: one
    transaction at a time gets past this until it commits.
    """
    if subjects:
        await repository.add_revocations(session, subjects, life=timedelta(seconds=LIFE + MARGIN))
