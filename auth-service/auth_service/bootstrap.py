"""The first start: a signing key, an organization, and the admin. Several replicas may start at once."""

from pathlib import Path

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.keys.repository import list_signing_keys
from auth_service.keys.sealing import Seal
from auth_service.keys.service import make_signing_key
from auth_service.organizations.models import Organization
from auth_service.settings import Settings
from auth_service.users.models import User
from auth_service.users.names import normalized
from auth_service.users.passwords import Passwords
from auth_service.users.repository import add_user, username_exists
from shared.database import Sessions
from shared.ids import new_id
from shared.secrets import GENERATED, stored_secret

log = structlog.get_logger(__name__)

LOCK = 0x73796E61_61757468
"""The advisory lock that makes it happen once (`syna`, `auth`)."""
ADMIN_PASSWORD = "admin_password"  # noqa: S105 # the name of a file


async def bootstrap(sessions: Sessions, *, settings: Settings, seal: Seal, passwords: Passwords) -> None:
    """Makes what is missing, and changes nothing that is there."""
    username = normalized(settings.admin_username)
    async with sessions() as session:
        has_admin = await username_exists(session, username)
    password_hash = None if has_admin else await passwords.hash(_admin_password(settings))
    async with sessions.begin() as session:
        await session.execute(select(func.pg_advisory_xact_lock(LOCK)))
        if not await list_signing_keys(session):
            session.add(make_signing_key(seal))
        if password_hash is not None and not await username_exists(session, username):
            await _add_admin(session, username=username, password_hash=password_hash)
            log.info("admin created", username=username, password_file=_password_file(settings))


async def _add_admin(session: AsyncSession, *, username: str, password_hash: str) -> None:
    organization = Organization(id=new_id("org"), name="Default")
    session.add(organization)
    await session.flush()
    admin = User(id=new_id("usr"), organization_id=organization.id, username=username, password_hash=password_hash)
    await add_user(session, admin, role="owner")


def _admin_password(settings: Settings) -> str:
    return settings.admin_password or stored_secret(settings.data_dir, ADMIN_PASSWORD, length=GENERATED[ADMIN_PASSWORD])


def _password_file(settings: Settings) -> str | None:
    """Where the password can be read, if it was generated."""
    return None if settings.admin_password else str(Path(settings.data_dir, ADMIN_PASSWORD))
