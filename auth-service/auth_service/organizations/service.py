"""Organizations, their members, and who may change which of them."""

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import Origin, record
from auth_service.organizations import repository
from auth_service.organizations.errors import (
    AlreadyMember,
    BelongsHere,
    NotForPrograms,
    OrganizationInUse,
    OrganizationNotFound,
)
from auth_service.organizations.models import Organization
from auth_service.organizations.schemas import (
    MemberCreate,
    MemberUpdate,
    MemberView,
    OrganizationView,
    OrganizationWrite,
)
from auth_service.revocations.service import revoke
from auth_service.sessions.errors import NotALogin
from auth_service.sessions.repository import end_sessions
from auth_service.settings import Registration
from auth_service.users.errors import LastOwner, OwnerRequired, UserNotFound
from auth_service.users.repository import (
    Member,
    find_member,
    find_person,
    is_last_owner,
    list_members,
    lock_owners,
)
from shared.auth import Principal
from shared.errors import InsufficientScope, Unauthorized
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor

ADMINISTER = "admin"
"""The scope."""


async def administrator(session: AsyncSession, principal: Principal) -> Member:
    """The caller as they are now: a token tells who they were. Raises Unauthorized, InsufficientScope."""
    member = await find_member(session, principal.user_id, organization_id=principal.organization_id)
    if member is None or member.user.disabled_at is not None:
        raise Unauthorized("The user of this access token is no longer active.", error="invalid_token")
    if ADMINISTER not in principal.scopes or member.role not in ("owner", "admin"):
        raise InsufficientScope(ADMINISTER)
    return member


def allow_role(role: str, *, by: Member) -> None:
    """Whether `by` may give the role, or change somebody who has it. Raises OwnerRequired."""
    if role == "owner" and by.role != "owner":
        raise OwnerRequired


async def keep_an_owner(session: AsyncSession, user_id: str, *, organization_id: str | None = None) -> None:
    """For who is about to lose an ownership, or all: until the commit nobody else loses one. Raises LastOwner."""
    await lock_owners(session)
    if await is_last_owner(session, user_id, organization_id=organization_id):
        raise LastOwner


class OrganizationService:
    """The organizations that a user belongs to; changes only to the one that the token is for."""

    def __init__(self, session: AsyncSession, *, registration: Registration, origin: Origin) -> None:
        self._session = session
        self._registration = registration
        self._origin = origin

    async def create(self, body: OrganizationWrite, *, by: Principal) -> OrganizationView:
        """The caller owns it. Unless everybody may register, this needs an administrator: an owner makes accounts."""
        if self._registration != "open":
            await administrator(self._session, by)
        organization = Organization(id=new_id("org"), name=body.name)
        await repository.add_organization(self._session, organization)
        await repository.add_membership(self._session, by.user_id, organization_id=organization.id, role="owner")
        record(self._session, "organization.create", origin=self._origin, by=by, target=organization.id)
        return OrganizationView.of(organization, role="owner")

    async def list(self, *, by: Principal, limit: int, cursor: str | None) -> Page[OrganizationView]:
        after = None if cursor is None else decode_cursor(cursor, parts=1)[0]
        found = await repository.list_own(self._session, by.user_id, after=after, limit=limit + 1)
        views = [OrganizationView.of(organization, role=role) for organization, role in found[:limit]]
        return Page(data=views, next_cursor=encode_cursor(views[-1].id) if len(found) > limit else None)

    async def read(self, organization_id: str, *, by: Principal) -> OrganizationView:
        """Raises OrganizationNotFound; of an API key, for every organization but its own."""
        if not by.is_login and organization_id != by.organization_id:
            raise OrganizationNotFound
        found = await repository.find_own(self._session, organization_id, user_id=by.user_id)
        if found is None:
            raise OrganizationNotFound
        return OrganizationView.of(found[0], role=found[1])

    async def rename(self, organization_id: str, body: OrganizationWrite, *, by: Principal) -> OrganizationView:
        """Raises OrganizationNotFound."""
        await self._administrator(organization_id, by=by)
        await repository.rename_organization(self._session, organization_id, name=body.name)
        record(self._session, "organization.rename", origin=self._origin, by=by, target=organization_id)
        return await self.read(organization_id, by=by)

    async def delete(self, organization_id: str, *, by: Principal) -> None:
        """Raises OrganizationNotFound, OwnerRequired, OrganizationInUse."""
        allow_role("owner", by=await self._administrator(organization_id, by=by))
        members = await repository.delete_organization(self._session, organization_id)
        if members is None:
            raise OrganizationInUse
        record(self._session, "organization.delete", origin=self._origin, by=by, target=organization_id)
        await self._session.flush()
        await revoke(self._session, *(f"{user_id}/{organization_id}" for user_id in members))

    async def list_members(
        self, organization_id: str, *, by: Principal, limit: int, cursor: str | None
    ) -> Page[MemberView]:
        """Raises OrganizationNotFound."""
        await self._administrator(organization_id, by=by)
        after = None if cursor is None else decode_cursor(cursor, parts=1)[0]
        found = await list_members(self._session, organization_id, kind=None, after=after, limit=limit + 1)
        views = [MemberView.of(member) for member in found[:limit]]
        return Page(data=views, next_cursor=encode_cursor(views[-1].user_id) if len(found) > limit else None)

    async def add_member(self, organization_id: str, body: MemberCreate, *, by: Principal) -> MemberView:
        """Raises OrganizationNotFound, OwnerRequired, UserNotFound, AlreadyMember."""
        allow_role(body.role, by=await self._administrator(organization_id, by=by))
        user = await find_person(self._session, body.username)
        if user is None:
            raise UserNotFound
        if not await repository.add_membership(self._session, user.id, organization_id=organization_id, role=body.role):
            raise AlreadyMember
        record(self._session, "member.add", origin=self._origin, by=by, target=user.id, role=body.role)
        return await self._view(user.id, organization_id=organization_id)

    async def change_role(self, organization_id: str, user_id: str, body: MemberUpdate, *, by: Principal) -> MemberView:
        """Raises OrganizationNotFound, UserNotFound, OwnerRequired, LastOwner, NotForPrograms."""
        await lock_owners(self._session)
        actor = await self._administrator(organization_id, by=by)
        member = await self._member(user_id, organization_id=organization_id)
        allow_role(body.role, by=actor)
        allow_role(member.role, by=actor)
        if body.role == "owner" and member.user.kind != "person":
            raise NotForPrograms
        if body.role != "owner":
            await keep_an_owner(self._session, user_id, organization_id=organization_id)
        await repository.change_role(self._session, user_id, organization_id=organization_id, role=body.role)
        view = await self._view(user_id, organization_id=organization_id)
        record(
            self._session,
            "member.change_role",
            origin=self._origin,
            by=by,
            target=user_id,
            role=body.role,
            was=member.role,
        )
        await self._session.flush()
        await revoke(self._session, f"{user_id}/{organization_id}")
        return view

    async def remove_member(self, organization_id: str, user_id: str, *, by: Principal) -> None:
        """Whoever was added may leave, with a login: a key of one organization ends no membership in another.

        Raises OrganizationNotFound, UserNotFound, NotALogin, OwnerRequired, LastOwner, BelongsHere.
        """
        await lock_owners(self._session)
        if user_id == by.user_id:
            if not by.is_login:
                raise NotALogin
            await self.read(organization_id, by=by)
            member = await self._member(user_id, organization_id=organization_id)
        else:
            actor = await self._administrator(organization_id, by=by)
            member = await self._member(user_id, organization_id=organization_id)
            allow_role(member.role, by=actor)
        if member.user.organization_id == organization_id:
            raise BelongsHere
        await keep_an_owner(self._session, user_id, organization_id=organization_id)
        await repository.delete_membership(self._session, user_id, organization_id=organization_id)
        await end_sessions(self._session, user_id, organization_id=organization_id)
        record(
            self._session,
            "member.remove",
            origin=self._origin,
            by=by,
            organization_id=organization_id,
            target=user_id,
        )
        await self._session.flush()
        await revoke(self._session, f"{user_id}/{organization_id}")

    async def _administrator(self, organization_id: str, *, by: Principal) -> Member:
        if organization_id != by.organization_id:
            raise OrganizationNotFound
        return await administrator(self._session, by)

    async def _member(self, user_id: str, *, organization_id: str) -> Member:
        member = await find_member(self._session, user_id, organization_id=organization_id)
        if member is None:
            raise UserNotFound
        return member

    async def _view(self, user_id: str, *, organization_id: str) -> MemberView:
        return MemberView.of(await self._member(user_id, organization_id=organization_id))
