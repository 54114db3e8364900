"""Makes, disables and deletes service accounts of the administrator's organization."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import Origin, record
from auth_service.organizations.service import administrator
from auth_service.revocations.service import revoke
from auth_service.service_accounts.errors import ServiceAccountNotFound
from auth_service.service_accounts.schemas import ServiceAccountCreate, ServiceAccountUpdate, ServiceAccountView
from auth_service.users import repository
from auth_service.users.models import User
from auth_service.users.repository import Member
from shared.auth import Principal
from shared.ids import new_id
from shared.pagination import Page, decode_cursor, encode_cursor


class ServiceAccountService:
    """A service account is a user of the kind `service`, whose username is its id: it is never typed."""

    def __init__(self, session: AsyncSession, *, origin: Origin) -> None:
        self._session = session
        self._origin = origin

    async def create(self, body: ServiceAccountCreate, *, by: Principal) -> ServiceAccountView:
        await administrator(self._session, by)
        user_id = new_id("usr")
        account = User(
            id=user_id,
            organization_id=by.organization_id,
            kind="service",
            username=user_id,
            display_name=body.name,
        )
        await repository.add_user(self._session, account, role=body.role)
        record(self._session, "service_account.create", origin=self._origin, by=by, target=account.id, role=body.role)
        return ServiceAccountView.of(account, role=body.role)

    async def list(self, *, by: Principal, limit: int, cursor: str | None) -> Page[ServiceAccountView]:
        await administrator(self._session, by)
        after = None if cursor is None else decode_cursor(cursor, parts=1)[0]
        found = await repository.list_members(
            self._session, by.organization_id, kind="service", after=after, limit=limit + 1
        )
        views = [ServiceAccountView.of(member.user, role=member.role) for member in found[:limit]]
        return Page(data=views, next_cursor=encode_cursor(views[-1].id) if len(found) > limit else None)

    async def read(self, account_id: str, *, by: Principal) -> ServiceAccountView:
        """Raises ServiceAccountNotFound."""
        await administrator(self._session, by)
        member = await self._find(account_id, by=by)
        return ServiceAccountView.of(member.user, role=member.role)

    async def update(self, account_id: str, body: ServiceAccountUpdate, *, by: Principal) -> ServiceAccountView:
        """Raises ServiceAccountNotFound."""
        await administrator(self._session, by)
        member = await self._find(account_id, by=by)
        changes = {"disabled_at": datetime.now(UTC) if body.disabled else None}
        account = await repository.update_user(self._session, account_id, changes, organization_id=by.organization_id)
        if account is None:
            raise ServiceAccountNotFound
        action = "service_account.disable" if body.disabled else "service_account.enable"
        record(self._session, action, origin=self._origin, by=by, target=account_id)
        await self._session.flush()
        if body.disabled:
            await revoke(self._session, account_id)
        return ServiceAccountView.of(account, role=member.role)

    async def delete(self, account_id: str, *, by: Principal) -> None:
        """Raises ServiceAccountNotFound."""
        await administrator(self._session, by)
        await self._find(account_id, by=by)
        await repository.delete_user(self._session, account_id, organization_id=by.organization_id)
        record(self._session, "service_account.delete", origin=self._origin, by=by, target=account_id)
        await self._session.flush()
        await revoke(self._session, account_id)

    async def _find(self, account_id: str, *, by: Principal) -> Member:
        member = await repository.find_member(self._session, account_id, organization_id=by.organization_id)
        if member is None or member.user.kind != "service" or member.user.organization_id != by.organization_id:
            raise ServiceAccountNotFound
        return member
