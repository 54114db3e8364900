"""`/api/auth/me`, and `/api/auth/users` for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth_service.audit.service import From
from auth_service.idempotency import Once
from auth_service.organizations.routes import Admin
from auth_service.sessions.routes import LoggedIn
from auth_service.text import Id
from auth_service.users.schemas import Me, MeUpdate, PasswordChange, UserCreate, UserUpdate, UserView
from auth_service.users.service import AccountService, UserService
from shared.auth import CurrentPrincipal
from shared.database import Session
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page

router = APIRouter(prefix="/api/auth", tags=["auth"])


async def account_service(request: Request, origin: From) -> AccountService:
    state = request.state
    return AccountService(state.sessions, passwords=state.passwords, logins=state.logins, origin=origin)


async def user_service(request: Request, origin: From) -> UserService:
    return UserService(request.state.sessions, passwords=request.state.passwords, origin=origin)


Account = Annotated[AccountService, Depends(account_service)]
Users = Annotated[UserService, Depends(user_service)]


@router.get("/me", summary="Who the token says you are")
async def read_me(principal: CurrentPrincipal, account: Account) -> Me:
    return await account.me(principal)


@router.patch("/me", summary="Change what others see of you")
async def update_me(body: MeUpdate, principal: LoggedIn, account: Account) -> Me:
    return await account.update(body, principal=principal)


@router.post("/me/password", status_code=204, summary="Change your password, and end your other sessions")
async def change_password(body: PasswordChange, principal: LoggedIn, account: Account) -> None:
    await account.change_password(body, principal=principal)


@router.post("/users", status_code=201)
async def create_user(body: UserCreate, admin: Admin, users: Users, session: Session, once: Once) -> UserView:
    password_hash = await users.hashed(body, by=admin)
    return await once(users.create(body, session=session, password_hash=password_hash, by=admin))


@router.get("/users")
async def list_users(admin: Admin, users: Users, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[UserView]:
    """The people of the organization, oldest first."""
    return await users.list(by=admin, limit=limit, cursor=cursor)


@router.get("/users/{user_id}")
async def read_user(user_id: Id, admin: Admin, users: Users) -> UserView:
    return await users.read(user_id, by=admin)


@router.patch("/users/{user_id}")
async def update_user(user_id: Id, body: UserUpdate, admin: Admin, users: Users) -> UserView:
    """Only of accounts that belong to the organization. Disabling, and a new password, end the user's sessions."""
    return await users.update(user_id, body, by=admin)


@router.delete("/users/{user_id}", status_code=204)
async def delete_user(user_id: Id, admin: Admin, users: Users) -> None:
    """Only of accounts that belong to the organization; with their sessions, keys and grants."""
    await users.delete(user_id, by=admin)
