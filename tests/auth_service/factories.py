"""Users that a test needs, made where auth-service keeps them."""

from auth_service.organizations.models import Membership, Organization
from auth_service.users.models import User
from auth_service.users.names import normalized
from auth_service.users.passwords import Passwords
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
) -> User:
    """A user with an organization of their own."""
    passwords = Passwords()
    try:
        hashed = password_hash or await passwords.hash(password)
    finally:
        passwords.close()
    user = User(id=new_id("usr"), username=normalized(username), password_hash=hashed)
    organization = Organization(id=new_id("org"), name=f"{username}'s")
    async with sessions.begin() as session:
        session.add_all([user, organization])
        await session.flush()
        session.add(Membership(user_id=user.id, organization_id=organization.id, role=role))
    return user
