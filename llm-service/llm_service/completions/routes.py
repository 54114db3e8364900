"""Completions, by the two protocols that clients speak: on `/v1/*` as the protocol's own SDKs expect them, on
`/api/llm/*` with our stream."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from llm_service.completions.schemas import (
    ANTHROPIC_MESSAGE_DOCS,
    COMPLETION_DOCS,
    MESSAGE_DOCS,
    OPENAI_COMPLETION_DOCS,
)
from llm_service.completions.service import Completions, Order
from llm_service.completions.writers import DialectWriter, NativeWriter, Writer
from llm_service.dialects import ANTHROPIC, OPENAI
from llm_service.dialects.ingress import Ingress
from llm_service.routing import spans
from shared.auth import Principal, principal_of, requires
from shared.disconnect import WhileWanted
from shared.error_docs import ANTHROPIC_ERROR_DOCS, OPENAI_ERROR_DOCS
from shared.express import Road, Whole, body_of
from shared.request_id import request_id_of
from shared.sse import EventStream

router = APIRouter(tags=["llm"])
openai_router = APIRouter(tags=["openai clients"], responses=OPENAI_ERROR_DOCS)
anthropic_router = APIRouter(tags=["anthropic clients"], responses=ANTHROPIC_ERROR_DOCS)


INVOKES = "llm:invoke"


async def completions(request: Request) -> Completions:
    found: Completions = request.scope["state"]["completions"]
    return found


CompletionService = Annotated[Completions, Depends(completions)]
LlmInvoker = Annotated[Principal, Depends(requires(INVOKES))]


@router.post("/api/llm/chat/completions", summary="Complete a chat", **COMPLETION_DOCS)
async def create_completion(request: Request, principal: LlmInvoker, service: CompletionService) -> Response:
    ingress = Ingress(await body_of(request.receive), dialect=OPENAI)
    return await _answer(request, _order(request, ingress, principal), _native, service)


@openai_router.post("/v1/chat/completions", summary="Complete a chat (OpenAI)", **OPENAI_COMPLETION_DOCS)
async def create_openai_completion(request: Request, principal: LlmInvoker, service: CompletionService) -> Response:
    ingress = Ingress(await body_of(request.receive), dialect=OPENAI)
    return await _answer(request, _order(request, ingress, principal), DialectWriter, service)


@router.post("/api/llm/messages", summary="Complete a conversation", **MESSAGE_DOCS)
async def create_message(request: Request, principal: LlmInvoker, service: CompletionService) -> Response:
    ingress = Ingress(await body_of(request.receive), dialect=ANTHROPIC, headers=request.headers)
    return await _answer(request, _order(request, ingress, principal), _native, service)


@anthropic_router.post("/v1/messages", summary="Complete a conversation (Anthropic)", **ANTHROPIC_MESSAGE_DOCS)
async def create_anthropic_message(request: Request, principal: LlmInvoker, service: CompletionService) -> Response:
    ingress = Ingress(await body_of(request.receive), dialect=ANTHROPIC, headers=request.headers)
    order = _order(request, ingress, principal)
    named = {"request-id": request_id_of(request.scope)}  # as its SDKs call it
    return await _answer(request, order, DialectWriter, service, headers=named)


def _order(request: Request, ingress: Ingress, principal: Principal) -> Order:
    trace = spans.parent_of(request.headers) if spans.somebody_records() else None
    return Order(ingress=ingress, principal=principal, request_id=request_id_of(request.scope), trace=trace)


def _native(_: Ingress) -> Writer:
    return NativeWriter()


async def _answer(
    request: Request,
    order: Order,
    writer_for: Callable[[Ingress], Writer],
    service: Completions,
    *,
    headers: dict[str, str] | None = None,
) -> Response:
    """`headers` of the answer beside those that tell of its attempts."""
    named = {} if headers is None else headers
    if order.ingress.stream:
        writer = writer_for(order.ingress)
        frames = service.streamed(order, writer, headers=named)
        return EventStream(frames, headers=named, on_error=writer.fail)
    with WhileWanted(request.scope, request.receive):
        answer = await service.whole(order)
    return Whole(answer.body, headers={**named, **answer.headers})


Endpoint = Callable[[Request, Principal, Completions], Awaitable[Response]]


def _road(endpoint: Endpoint) -> Road:
    """What FastAPI would find out about the endpoint's parameters, written down."""

    async def travel(request: Request) -> Response:
        principal = await principal_of(request)
        return await endpoint(request, principal.with_scope(INVOKES), request.scope["state"]["completions"])

    return travel


ROADS = {
    ("POST", "/api/llm/chat/completions"): _road(create_completion),
    ("POST", "/v1/chat/completions"): _road(create_openai_completion),
    ("POST", "/api/llm/messages"): _road(create_message),
    ("POST", "/v1/messages"): _road(create_anthropic_message),
}
"""Where nearly all requests go."""
