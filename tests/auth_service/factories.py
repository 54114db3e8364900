"""Users that a test needs, made where auth-service keeps them."""

from auth_service.organizations.models import Organization
from auth_service.organizations.repository import change_role
from auth_service.users.models import User
from auth_service.users.names import normalized
from auth_service.users.passwords import Passwords
from auth_service.users.repository import add_user
from shared.database import Sessions
from shared.ids import new_id

PASSWORD = "correct horse battery staple"


async def make_user(
    sessions: Sessions,
    username: str = "ana",
    *,
    password: str = PASSWORD,
    role: str = "member",
    password_hash: str | None = None,
    organization_id: str | None = None,
) -> User:
    """A user of that organization, or with one of their own."""
    passwords = Passwords()
    try:
        hashed = password_hash or await passwords.hash(password)
    finally:
        passwords.close()
    async with sessions.begin() as session:
        if organization_id is None:
            organization = Organization(id=new_id("org"), name=f"{username}'s")
            session.add(organization)
            await session.flush()
            organization_id = organization.id
        user = User(
            id=new_id("usr"), organization_id=organization_id, username=normalized(username), password_hash=hashed
        )
        await add_user(session, user, role=role)
    return user


async def give_role(sessions: Sessions, user: User, role: str) -> None:
    """At home, as a colleague does, but before anybody could have heard of it: no revocation is written."""
    async with sessions.begin() as session:
        await change_role(session, user.id, organization_id=user.organization_id, role=role)
