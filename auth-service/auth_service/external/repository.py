"""All SQL about users of other issuers."""

from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from auth_service.organizations.models import Membership, Organization
from auth_service.sessions.models import LoginSession
from auth_service.users.errors import EmailTaken, UsernameTaken
from auth_service.users.models import ExternalIdentity, User
from auth_service.users.repository import add_user


@dataclass(frozen=True, slots=True)
class Subject:
    """Who somebody is at an issuer, in an organization here."""

    issuer: str
    subject: str
    organization_id: str


@dataclass(frozen=True, slots=True)
class Known:
    """Who a subject is here; without a role they do not belong to the organization any more."""

    user: User
    role: str | None
    claims_issued_at: int


async def lock_subject(session: AsyncSession, subject: Subject) -> None:
    """Until the transaction ends: of several replicas that see somebody at once, one makes or changes the user."""
    name = f"{subject.issuer}\n{subject.subject}\n{subject.organization_id}"
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


async def organization_exists(session: AsyncSession, organization_id: str) -> bool:
    return await session.scalar(select(Organization.id).where(Organization.id == organization_id)) is not None


async def find_user(session: AsyncSession, subject: Subject, *, lock: bool = False) -> Known | None:
    """With `lock` the user stays as they are until the transaction ends."""
    query = (
        select(User, Membership.role, ExternalIdentity.claims_issued_at)
        .join(ExternalIdentity, ExternalIdentity.user_id == User.id)
        .outerjoin(
            Membership,
            (Membership.user_id == User.id) & (Membership.organization_id == ExternalIdentity.organization_id),
        )
        .where(
            ExternalIdentity.issuer == subject.issuer,
            ExternalIdentity.subject == subject.subject,
            ExternalIdentity.organization_id == subject.organization_id,
        )
    )
    if lock:
        query = query.with_for_update(of=User, read=True).execution_options(populate_existing=True)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else Known(*row)


async def follow_claims(session: AsyncSession, subject: Subject, *, issued_at: int) -> None:
    await session.execute(
        update(ExternalIdentity)
        .where(
            ExternalIdentity.issuer == subject.issuer,
            ExternalIdentity.subject == subject.subject,
            ExternalIdentity.organization_id == subject.organization_id,
        )
        .values(claims_issued_at=issued_at)
    )


async def add_external_user(
    session: AsyncSession, user: User, *, subject: Subject, role: str, claims_issued_at: int
) -> bool:
    """False, and nothing done, where the username is taken."""
    try:
        async with session.begin_nested():
            await add_user(session, user, role=role)
            session.add(
                ExternalIdentity(
                    issuer=subject.issuer,
                    subject=subject.subject,
                    organization_id=subject.organization_id,
                    user_id=user.id,
                    claims_issued_at=claims_issued_at,
                )
            )
    except (UsernameTaken, EmailTaken):
        return False
    return True


async def email_exists(session: AsyncSession, email: str) -> bool:
    return await session.scalar(select(User.id).where(User.email == email)) is not None


async def add_session(session: AsyncSession, login: LoginSession) -> bool:
    """Whether there was none of its id yet."""
    values = {
        "id": login.id,
        "user_id": login.user_id,
        "organization_id": login.organization_id,
        "client_id": login.client_id,
        "address": login.address,
        "user_agent": login.user_agent,
        "expires_at": login.expires_at,
    }
    added = insert(LoginSession).values(values).on_conflict_do_nothing().returning(LoginSession.id)
    return await session.scalar(added) is not None


async def lock_session(session: AsyncSession, login: LoginSession) -> bool:
    """Whether the session holds; it stays as it is until the transaction ends."""
    holds = select(LoginSession.id).where(
        LoginSession.id == login.id,
        LoginSession.organization_id == login.organization_id,
        LoginSession.revoked_at.is_(None),
    )
    return await session.scalar(holds.with_for_update(read=True)) is not None
