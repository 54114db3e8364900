"""What users may do with their own account, and administrators with those of their organization."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import Origin, record
from auth_service.logins.service import Logins
from auth_service.organizations.service import administrator, allow_role, keep_an_owner
from auth_service.revocations.service import revoke
from auth_service.sessions.repository import end_sessions
from auth_service.sessions.service import end_logins
from auth_service.users import repository
from auth_service.users.errors import OwnPassword, UserNotFound, WrongPassword
from auth_service.users.models import User
from auth_service.users.password_policy import check_password
from auth_service.users.passwords import Passwords
from auth_service.users.repository import Member
from auth_service.users.schemas import Me, MeUpdate, PasswordChange, UserCreate, UserUpdate, UserView
from shared.auth import Principal
from shared.database import Sessions
from shared.errors import Unauthorized
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor


class AccountService:
    """A user's own account. Opens transactions of its own: none is open while a password is hashed."""

    def __init__(self, sessions: Sessions, *, passwords: Passwords, logins: Logins, origin: Origin) -> None:
        self._sessions = sessions
        self._passwords = passwords
        self._logins = logins
        self._origin = origin

    async def me(self, principal: Principal) -> Me:
        """Raises Unauthorized where the user has gone, or was disabled, since the token was made."""
        return Me.of(await self._member(principal), scopes=principal.scopes)

    async def update(self, body: MeUpdate, *, principal: Principal) -> Me:
        """Raises Unauthorized, EmailTaken."""
        member = await self._member(principal)
        changes = body.model_dump(include=body.model_fields_set)
        if changes:
            async with self._sessions.begin() as session:
                home = member.user.organization_id
                await repository.update_user(session, principal.user_id, changes, organization_id=home)
                record(
                    session,
                    "user.update",
                    origin=self._origin,
                    by=principal,
                    target=member.user.id,
                    fields=sorted(body.model_fields_set),
                )
        return await self.me(principal)

    async def change_password(self, body: PasswordChange, *, principal: Principal) -> None:
        """Ends every other session. Raises Unauthorized, an UnacceptablePassword, WrongPassword, LoginThrottled."""
        user = (await self._member(principal)).user
        check_password(body.new_password, username=user.username)
        async with self._logins.attempt(user.username, origin=self._origin, noun="password_check") as attempt:
            if not await self._passwords.verify(body.current_password, user.password_hash):
                await attempt.fail(user.id, organization_id=user.organization_id)
                raise WrongPassword
            async with self._sessions.begin() as session:
                await attempt.succeed(session, user.id, organization_id=principal.organization_id)
        old, new = user.password_hash or "", await self._passwords.hash(body.new_password)
        async with self._sessions.begin() as session:
            if not await repository.change_password_hash(session, user.id, old=old, new=new):
                raise WrongPassword  # somebody has changed it meanwhile
            record(session, "user.change_password", origin=self._origin, by=principal, target=user.id)
            await session.flush()
            await end_logins(session, user.id, but=principal.session_id)

    async def _member(self, principal: Principal) -> Member:
        async with self._sessions() as session:
            member = await repository.find_member(session, principal.user_id, organization_id=principal.organization_id)
        if member is None or member.user.disabled_at is not None:
            raise Unauthorized("The user of this access token is no longer active.", error="invalid_token")
        return member


class UserService:
    """The people of the administrator's organization. Opens transactions of its own, as AccountService does."""

    def __init__(self, sessions: Sessions, *, passwords: Passwords, origin: Origin) -> None:
        self._sessions = sessions
        self._passwords = passwords
        self._origin = origin

    async def hashed(self, body: UserCreate, *, by: Principal) -> str:
        """Of the password of who is to be made. Raises OwnerRequired, an UnacceptablePassword."""
        async with self._sessions() as session:
            allow_role(body.role, by=await administrator(session, by))
        check_password(body.password, username=body.username)
        return await self._passwords.hash(body.password)

    async def create(self, body: UserCreate, *, session: AsyncSession, password_hash: str, by: Principal) -> UserView:
        """In the transaction of `session`. Raises OwnerRequired, UsernameTaken, EmailTaken."""
        allow_role(body.role, by=await administrator(session, by))  # again: roles change while a password is hashed
        user = User(
            id=new_id("usr"),
            organization_id=by.organization_id,
            username=body.username,
            email=body.email,
            display_name=body.display_name,
            password_hash=password_hash,
        )
        await repository.add_user(session, user, role=body.role)
        record(session, "user.create", origin=self._origin, by=by, target=user.id, role=body.role)
        return UserView.of(user, role=body.role, organization_id=by.organization_id)

    async def list(self, *, by: Principal, limit: int, cursor: str | None) -> Page[UserView]:
        after = None if cursor is None else decode_cursor(cursor, parts=1)[0]
        async with self._sessions() as session:
            await administrator(session, by)
            found = await repository.list_members(
                session, by.organization_id, kind="person", after=after, limit=limit + 1
            )
        views = [_view(member) for member in found[:limit]]
        return Page(data=views, next_cursor=encode_cursor(views[-1].id) if len(found) > limit else None)

    async def read(self, user_id: str, *, by: Principal) -> UserView:
        """Raises UserNotFound."""
        async with self._sessions() as session:
            await administrator(session, by)
            member = await repository.find_member(session, user_id, organization_id=by.organization_id)
        if member is None or member.user.kind != "person":
            raise UserNotFound
        return _view(member)

    async def update(self, user_id: str, body: UserUpdate, *, by: Principal) -> UserView:
        """Raises UserNotFound, OwnerRequired, LastOwner, OwnPassword, an UnacceptablePassword, a name's being taken."""
        async with self._sessions() as session:
            found = await self._managed(session, user_id, by=by)
        changes = await self._changes(found.user, body, by=by)
        async with self._sessions.begin() as session:
            if body.disabled:
                await keep_an_owner(session, user_id)
            member = await self._managed(session, user_id, by=by)  # again: roles change while a password is hashed
            user = await repository.update_user(session, user_id, changes, organization_id=by.organization_id)
            if user is None:
                raise UserNotFound
            action = "user.update" if body.disabled is None else "user.disable" if body.disabled else "user.enable"
            record(session, action, origin=self._origin, by=by, target=user_id, fields=sorted(body.model_fields_set))
            if body.disabled or body.password is not None:
                await end_sessions(session, user_id)
                await session.flush()
                await revoke(session, user_id)
        return UserView.of(user, role=member.role, organization_id=by.organization_id)

    async def delete(self, user_id: str, *, by: Principal) -> None:
        """Raises UserNotFound, OwnerRequired, LastOwner."""
        async with self._sessions.begin() as session:
            await repository.lock_owners(session)
            await self._managed(session, user_id, by=by)
            await keep_an_owner(session, user_id)
            await repository.delete_user(session, user_id, organization_id=by.organization_id)
            record(session, "user.delete", origin=self._origin, by=by, target=user_id)
            await session.flush()
            await revoke(session, user_id)

    async def _managed(self, session: AsyncSession, user_id: str, *, by: Principal) -> Member:
        """A person whose account belongs to the administrator's organization."""
        actor = await administrator(session, by)
        member = await repository.find_member(session, user_id, organization_id=by.organization_id)
        if member is None or member.user.kind != "person" or member.user.organization_id != by.organization_id:
            raise UserNotFound
        allow_role(member.role, by=actor)
        return member

    async def _changes(self, user: User, body: UserUpdate, *, by: Principal) -> Mapping[str, Any]:
        changes = body.model_dump(include=body.model_fields_set - {"password", "disabled"})
        if body.disabled is not None:
            changes["disabled_at"] = (user.disabled_at or datetime.now(UTC)) if body.disabled else None
        if body.password is not None:
            if user.id == by.user_id:
                raise OwnPassword
            check_password(body.password, username=body.username or user.username)
            changes["password_hash"] = await self._passwords.hash(body.password)
        return changes


def _view(member: Member) -> UserView:
    return UserView.of(member.user, role=member.role, organization_id=member.organization.id)
