"""`GET /api/llm/providers`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from llm_service.reload import LiveCatalogue
from llm_service.routing.observed import Observed
from llm_service.routing.schemas import Providers
from shared.auth import Principal, requires

router = APIRouter(prefix="/api/llm", tags=["llm"])

LlmReader = Annotated[Principal, Depends(requires("llm:read"))]


async def provider_status(request: Request) -> Providers:
    live: LiveCatalogue = request.state.live
    observed: Observed = request.state.observed
    return Providers.of(live.current, observed)


@router.get("/providers", summary="See how providers are")
async def list_providers(_: LlmReader, providers: Annotated[Providers, Depends(provider_status)]) -> Providers:
    """As the process that answers has seen them: each replica judges by its own attempts."""
    return providers
