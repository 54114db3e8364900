"""`GET /api/llm/limits`, and `/internal/ledger`: one ledger and one set of budgets for the whole platform.

The gateway leads nobody to the latter.
"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from llm_service.ledger.records import Entry
from llm_service.ledger.writer import Ledger
from llm_service.limits.schemas import ChargeCreate, LimitView, OwnLimits, ReservationCreate, ReservationMade
from llm_service.limits.service import Limits, Payer, Worst
from shared.auth import Principal, requires
from shared.auth.services import CallingService

router = APIRouter(tags=["llm"])
ledger_router = APIRouter(prefix="/internal/ledger", include_in_schema=False)

UsageReader = Annotated[Principal, Depends(requires("usage:read"))]


async def limits(request: Request) -> Limits:
    found: Limits = request.state.limits
    return found


async def ledger(request: Request) -> Ledger:
    found: Ledger = request.state.ledger
    return found


LimitService = Annotated[Limits, Depends(limits)]
LedgerWriter = Annotated[Ledger, Depends(ledger)]


@router.get("/api/llm/limits", summary="Read the own limits")
async def read_limits(reader: UsageReader, limits: LimitService) -> OwnLimits:
    payer, policy = Payer.of(reader), reader.policy
    return OwnLimits(
        key_id=payer.key_id,
        models=None if policy.models is None else list(policy.models),
        requests_per_minute=policy.requests_per_minute,
        limits=[LimitView.of(left) for left in await limits.left(payer)],
    )


@ledger_router.post("/reservations", status_code=201)
async def create_reservation(body: ReservationCreate, service: CallingService, limits: LimitService) -> ReservationMade:
    payer = body.payer.payer()
    if payer.limited:
        worst = Worst(tokens=body.tokens, usd=body.usd)
        await limits.reserve(body.id, payer, worst, source=service, model=body.model, request_id=body.request_id)
    return ReservationMade(id=body.id, lease_seconds=limits.lease.total_seconds())


@ledger_router.post("/reservations/{id}/renew", status_code=204)
async def renew_reservation(id: UUID, service: CallingService, limits: LimitService) -> None:  # noqa: ARG001 # who may
    await limits.renew_one(id)


@ledger_router.post("/charges", status_code=204)
async def create_charge(body: ChargeCreate, service: CallingService, ledger: LedgerWriter) -> None:
    """Answers when the charge is durable."""
    await ledger.written(Entry(id=body.id, record=body.record(source=service), reserved=body.reserved))
