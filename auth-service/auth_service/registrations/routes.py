"""`POST /api/auth/register`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from auth_service.audit.service import From
from auth_service.registrations.schemas import Registered, Registration
from auth_service.registrations.service import RegistrationService

router = APIRouter(prefix="/api/auth", tags=["auth"])


async def registration_service(request: Request, origin: From) -> RegistrationService:
    state = request.state
    return RegistrationService(
        state.sessions, passwords=state.passwords, logins=state.logins, mode=state.registration, origin=origin
    )


Registrations = Annotated[RegistrationService, Depends(registration_service)]


@router.post("/register", status_code=201, summary="Make an account of your own")
async def register(body: Registration, registrations: Registrations) -> Registered:
    """Only where SYNAPSCALE_REGISTRATION says so: `invite` needs an invitation, `open` does not."""
    return await registrations.register(body)
