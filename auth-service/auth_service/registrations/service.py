"""Who may register, and into which organization."""

from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.audit.service import Origin, record
from auth_service.invitations.errors import InvitationRefused
from auth_service.invitations.repository import accept, find_valid
from auth_service.invitations.service import hash_of
from auth_service.logins.service import Logins
from auth_service.organizations.models import Invitation, Organization
from auth_service.organizations.repository import add_organization
from auth_service.registrations.errors import InvitationRequired, NameTaken, RegistrationClosed
from auth_service.registrations.schemas import Registered, Registration
from auth_service.settings import Registration as Mode
from auth_service.users.errors import EmailTaken, UsernameTaken
from auth_service.users.models import User
from auth_service.users.password_policy import check_password
from auth_service.users.passwords import Passwords
from auth_service.users.repository import add_user
from shared.database import Sessions
from shared.ids import new_id


class RegistrationService:
    """Opens transactions of its own: none is open while a password is hashed."""

    def __init__(self, sessions: Sessions, *, passwords: Passwords, logins: Logins, mode: Mode, origin: Origin) -> None:
        self._sessions = sessions
        self._passwords = passwords
        self._logins = logins
        self._mode = mode
        self._origin = origin

    async def register(self, body: Registration) -> Registered:
        """Raises RegistrationClosed, InvitationRequired, InvitationRefused, an UnacceptablePassword, NameTaken.

        Who asks for names that are taken is slowed down as who guesses passwords is. Raises LoginThrottled.
        """
        await self._check(body)
        check_password(body.password, username=body.username)
        async with self._logins.attempt(None, origin=self._origin, noun="registration") as attempt:
            password_hash = await self._passwords.hash(body.password)
            try:
                registered = await self._add(body, password_hash=password_hash)
            except (UsernameTaken, EmailTaken):
                await attempt.fail()
                raise NameTaken from None
            await attempt.take_back()
        return registered

    async def _check(self, body: Registration) -> None:
        """Before a password is hashed for somebody who may not register."""
        if self._mode == "closed":
            raise RegistrationClosed
        if body.invitation is None:
            if self._mode == "invite":
                raise InvitationRequired
            return
        async with self._sessions() as session:
            _holds(await find_valid(session, hash_of(body.invitation)), body)

    async def _add(self, body: Registration, *, password_hash: str) -> Registered:
        async with self._sessions.begin() as session:
            organization_id, role, invitation_id = await self._place(session, body)
            user = User(
                id=new_id("usr"),
                organization_id=organization_id,
                username=body.username,
                email=body.email,
                display_name=body.display_name,
                password_hash=password_hash,
            )
            await add_user(session, user, role=role)
            record(
                session,
                "user.register",
                origin=self._origin,
                actor=user.id,
                organization_id=organization_id,
                target=user.id,
                role=role,
                invitation=invitation_id,
            )
        return Registered(id=user.id, username=user.username, organization_id=organization_id, role=role)

    async def _place(self, session: AsyncSession, body: Registration) -> tuple[str, str, str | None]:
        """Organization, role, invitation: which is used up with the commit, so that a taken name does not cost it."""
        if body.invitation is not None:
            invitation = _holds(await accept(session, hash_of(body.invitation)), body)
            return invitation.organization_id, invitation.role, invitation.id
        organization = Organization(id=new_id("org"), name=body.organization_name or body.username)
        await add_organization(session, organization)
        return organization.id, "owner", None


def _holds(invitation: Invitation | None, body: Registration) -> Invitation:
    if invitation is None or invitation.email not in (None, body.email):
        raise InvitationRefused
    return invitation
