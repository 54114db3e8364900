"""What users may know of themselves."""

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.users import repository
from auth_service.users.schemas import Me
from shared.auth import Principal
from shared.errors import Unauthorized


class UserService:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def me(self, principal: Principal) -> Me:
        """Raises Unauthorized where the user has gone, or was disabled, since the token was made."""
        member = await repository.find_member(
            self._session, principal.user_id, organization_id=principal.organization_id
        )
        if member is None or member.user.disabled_at is not None:
            raise Unauthorized("The user of this access token is no longer active.", error="invalid_token")
        return Me.of(member, scopes=principal.scopes)
