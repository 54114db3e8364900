"""`POST /v1/messages/count_tokens` (Anthropic's) and `POST /api/llm/messages/count_tokens`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from llm_service.counting.schemas import COUNT_DOCS, CountedTokens
from llm_service.counting.service import TokenCounts
from llm_service.dialects import ANTHROPIC
from llm_service.dialects.ingress import Ingress
from shared.auth import Principal, requires
from shared.error_docs import ANTHROPIC_ERROR_DOCS
from shared.request_id import request_id_of

router = APIRouter(tags=["llm"])
anthropic_router = APIRouter(tags=["anthropic clients"], responses=ANTHROPIC_ERROR_DOCS)


async def token_counts(request: Request) -> TokenCounts:
    found: TokenCounts = request.state.token_counts
    return found


Counts = Annotated[TokenCounts, Depends(token_counts)]
LlmInvoker = Annotated[Principal, Depends(requires("llm:invoke"))]


@router.post("/api/llm/messages/count_tokens", summary="Count tokens", **COUNT_DOCS)
async def count_tokens(request: Request, response: Response, principal: LlmInvoker, counts: Counts) -> CountedTokens:
    return await _count(request, response, principal, counts)


@anthropic_router.post("/v1/messages/count_tokens", summary="Count tokens (Anthropic)", **COUNT_DOCS)
async def count_anthropic_tokens(
    request: Request, response: Response, principal: LlmInvoker, counts: Counts
) -> CountedTokens:
    response.headers["request-id"] = request_id_of(request.scope)
    return await _count(request, response, principal, counts)


async def _count(request: Request, response: Response, principal: Principal, counts: TokenCounts) -> CountedTokens:
    ingress = Ingress(await request.body(), dialect=ANTHROPIC, headers=request.headers)
    counted = await counts.count(ingress, policy=principal.policy)
    response.headers["x-synapscale-estimated"] = "true" if counted.estimated else "false"
    return CountedTokens(input_tokens=counted.input_tokens)
