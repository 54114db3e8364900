"""`POST /v1/embeddings` (OpenAI's) and `POST /api/llm/embeddings`: the same, with our own errors."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from llm_service.embeddings.schemas import EmbeddingAnswer, EmbeddingRequest
from llm_service.embeddings.service import EmbeddingService
from shared.auth import Principal, requires
from shared.error_docs import OPENAI_ERROR_DOCS
from shared.request_id import request_id_of

router = APIRouter(tags=["llm"])
openai_router = APIRouter(tags=["openai clients"], responses=OPENAI_ERROR_DOCS)


async def embedding_service(request: Request) -> EmbeddingService:
    found: EmbeddingService = request.state.embeddings
    return found


Embeddings = Annotated[EmbeddingService, Depends(embedding_service)]
LlmInvoker = Annotated[Principal, Depends(requires("llm:invoke"))]


@router.post("/api/llm/embeddings", summary="Turn texts into vectors")
@openai_router.post("/v1/embeddings", summary="Turn texts into vectors (OpenAI)")
async def create_embeddings(
    asked: EmbeddingRequest, principal: LlmInvoker, service: Embeddings, request: Request, response: Response
) -> EmbeddingAnswer:
    embedded = await service.embed(asked, principal=principal, request_id=request_id_of(request.scope))
    response.headers.update(embedded.headers)
    return embedded.answer
