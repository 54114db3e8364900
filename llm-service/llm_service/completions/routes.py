"""`POST /v1/chat/completions` (OpenAI's, to the byte) and `POST /api/llm/chat/completions` (our stream)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from llm_service.completions.schemas import COMPLETION_DOCS, OPENAI_COMPLETION_DOCS
from llm_service.completions.service import Completions, Order
from llm_service.completions.writers import DialectWriter, NativeWriter, Writer
from llm_service.dialects import OPENAI
from llm_service.dialects.ingress import Ingress
from shared.auth import Principal, requires
from shared.disconnect import unless_client_leaves
from shared.error_docs import OPENAI_ERROR_DOCS
from shared.sse import EventStream

router = APIRouter(tags=["llm"])
openai_router = APIRouter(tags=["openai clients"], responses=OPENAI_ERROR_DOCS)


async def completions(request: Request) -> Completions:
    found: Completions = request.state.completions
    return found


CompletionService = Annotated[Completions, Depends(completions)]
LlmInvoker = Annotated[Principal, Depends(requires("llm:invoke"))]


@router.post("/api/llm/chat/completions", summary="Complete a chat", **COMPLETION_DOCS)
async def create_completion(request: Request, principal: LlmInvoker, service: CompletionService) -> Response:
    ingress = Ingress(await request.body(), dialect=OPENAI)
    return await _answer(request, Order(ingress=ingress, principal=principal), NativeWriter(ingress), service)


@openai_router.post("/v1/chat/completions", summary="Complete a chat (OpenAI)", **OPENAI_COMPLETION_DOCS)
async def create_openai_completion(request: Request, principal: LlmInvoker, service: CompletionService) -> Response:
    ingress = Ingress(await request.body(), dialect=OPENAI)
    return await _answer(request, Order(ingress=ingress, principal=principal), DialectWriter(ingress), service)


async def _answer(request: Request, order: Order, writer: Writer, service: Completions) -> Response:
    if order.ingress.stream:
        headers: dict[str, str] = {}
        frames = service.streamed(order, writer, headers=headers)
        return EventStream(frames, headers=headers, on_error=writer.fail)
    answer = await unless_client_leaves(request.receive, service.whole(order))
    return Response(answer.body, headers=answer.headers, media_type="application/json")
