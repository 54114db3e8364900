"""`POST /v1/chat/completions` (OpenAI's, to the byte) and `POST /api/llm/chat/completions` (our stream)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from llm_service.completions.schemas import COMPLETION_DOCS, OPENAI_COMPLETION_DOCS
from llm_service.completions.service import Completions
from llm_service.completions.writers import DialectWriter, NativeWriter, Writer
from llm_service.dialects import OPENAI
from llm_service.dialects.ingress import Ingress
from shared.auth import Policy, Principal, requires
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
    return await _answer(request, ingress, NativeWriter(ingress), service, policy=principal.policy)


@openai_router.post("/v1/chat/completions", summary="Complete a chat (OpenAI)", **OPENAI_COMPLETION_DOCS)
async def create_openai_completion(request: Request, principal: LlmInvoker, service: CompletionService) -> Response:
    ingress = Ingress(await request.body(), dialect=OPENAI)
    return await _answer(request, ingress, DialectWriter(ingress), service, policy=principal.policy)


async def _answer(
    request: Request, ingress: Ingress, writer: Writer, service: Completions, *, policy: Policy
) -> Response:
    if ingress.stream:
        headers: dict[str, str] = {}
        frames = service.streamed(ingress, writer, policy=policy, headers=headers)
        return EventStream(frames, headers=headers, on_error=writer.fail)
    answer = await unless_client_leaves(request.receive, service.whole(ingress, policy=policy))
    return Response(answer.body, headers=answer.headers, media_type="application/json")
