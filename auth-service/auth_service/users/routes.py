"""`/api/auth/me`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from auth_service.users.schemas import Me
from auth_service.users.service import UserService
from shared.auth import CurrentPrincipal
from shared.database import Session

router = APIRouter(prefix="/api/auth", tags=["auth"])


def user_service(session: Session) -> UserService:
    return UserService(session)


Users = Annotated[UserService, Depends(user_service)]


@router.get("/me", summary="Who the token says you are")
async def read_me(principal: CurrentPrincipal, users: Users) -> Me:
    return await users.me(principal)
