"""Makes, lists and revokes invitations."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import Origin, record
from auth_service.invitations import repository
from auth_service.invitations.errors import InvitationNotFound
from auth_service.invitations.schemas import InvitationCreate, InvitationCreated, InvitationView
from auth_service.organizations.errors import OrganizationNotFound
from auth_service.organizations.models import Invitation
from auth_service.organizations.service import administrator, allow_role
from shared.auth import Principal
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor

PREFIX = "inv-syn-"


def hash_of(token: str) -> bytes:
    """Enough for 256 random bits."""
    return hashlib.sha256(token.encode()).digest()


class InvitationService:
    """Of the organization that the token is for."""

    def __init__(self, session: AsyncSession, *, origin: Origin) -> None:
        self._session = session
        self._origin = origin

    async def create(self, organization_id: str, body: InvitationCreate, *, by: Principal) -> InvitationCreated:
        """Raises OrganizationNotFound, OwnerRequired."""
        self._check(organization_id, by=by)
        allow_role(body.role, by=await administrator(self._session, by))
        token = PREFIX + secrets.token_urlsafe(32)
        invitation = Invitation(
            id=new_id("inv"),
            organization_id=organization_id,
            role=body.role,
            email=body.email,
            token_hash=hash_of(token),
            created_by=by.user_id,
            expires_at=datetime.now(UTC) + timedelta(hours=body.expires_in_hours),
        )
        await repository.add_invitation(self._session, invitation)
        record(self._session, "invitation.create", origin=self._origin, by=by, target=invitation.id, role=body.role)
        return InvitationCreated(**InvitationView.of(invitation).model_dump(), token=token)

    async def list(
        self, organization_id: str, *, by: Principal, limit: int, cursor: str | None
    ) -> Page[InvitationView]:
        """Those that may still be used. Raises OrganizationNotFound."""
        self._check(organization_id, by=by)
        await administrator(self._session, by)
        after = None if cursor is None else decode_cursor(cursor, parts=1)[0]
        found = await repository.list_open(self._session, organization_id, after=after, limit=limit + 1)
        views = [InvitationView.of(invitation) for invitation in found[:limit]]
        return Page(data=views, next_cursor=encode_cursor(views[-1].id) if len(found) > limit else None)

    async def revoke(self, organization_id: str, invitation_id: str, *, by: Principal) -> None:
        """Raises OrganizationNotFound, InvitationNotFound."""
        self._check(organization_id, by=by)
        await administrator(self._session, by)
        if not await repository.delete_invitation(self._session, invitation_id, organization_id=organization_id):
            raise InvitationNotFound
        record(self._session, "invitation.revoke", origin=self._origin, by=by, target=invitation_id)

    def _check(self, organization_id: str, *, by: Principal) -> None:
        if organization_id != by.organization_id:
            raise OrganizationNotFound
