"""`GET /internal/auth/revocations`: for authenticated services; the gateway does not route it."""

from typing import Annotated

from fastapi import APIRouter, Query

from auth_service.revocations.schemas import RevocationPage, RevocationView
from auth_service.revocations.service import list_revocations
from shared.auth.revocations import PAGE
from shared.auth.services import CallingService
from shared.database import Session

router = APIRouter(prefix="/internal/auth", include_in_schema=False)


@router.get("/revocations")
async def read_revocations(
    _: CallingService,
    session: Session,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> RevocationPage:
    found = await list_revocations(session, after=after, limit=limit)
    return RevocationPage.of([RevocationView.of(each) for each in found], limit=limit)
