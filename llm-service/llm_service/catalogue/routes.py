"""`GET /api/llm/models` and `GET /v1/models`, which is OpenAI's and Anthropic's."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from llm_service.catalogue.schemas import (
    AnthropicModel,
    AnthropicModels,
    AnthropicPage,
    Model,
    Models,
    OpenAIModel,
    OpenAIModels,
)
from llm_service.catalogue.service import Catalogue, ListedModel
from llm_service.errors import ModelNotFound
from llm_service.reload import LiveCatalogue
from shared.auth import Policy, Principal, requires
from shared.error_docs import OPENAI_ERROR_DOCS
from shared.errors import speaks_anthropic

_STEP = "[A-Za-z0-9][A-Za-z0-9._:@-]*"
MODEL_ID = f"^{_STEP}(/{_STEP})*$"
"""How ids look; whatever looks otherwise is as unknown as any other."""

router = APIRouter(tags=["llm"])
openai_router = APIRouter(tags=["openai clients"], responses=OPENAI_ERROR_DOCS)


async def catalogue(request: Request) -> Catalogue:
    live: LiveCatalogue = request.state.live
    return live.current


CatalogueOfModels = Annotated[Catalogue, Depends(catalogue)]
ModelId = Annotated[str, Path(json_schema_extra={"maxLength": 256, "pattern": MODEL_ID})]
LlmReader = Annotated[Principal, Depends(requires("llm:read"))]


@router.get("/api/llm/models", summary="List models and routes")
async def list_models(principal: LlmReader, models: CatalogueOfModels) -> Models:
    return Models(data=[Model.of(model) for model in await _allowed(models, principal.policy)])


@router.get("/api/llm/models/{model_id:path}", summary="Read a model or route")
async def read_model(model_id: ModelId, principal: LlmReader, models: CatalogueOfModels) -> Model:
    return Model.of(await _one(model_id, models, principal.policy))


@openai_router.get("/v1/models", summary="List models (OpenAI, Anthropic)")
async def list_clients_models(
    request: Request, principal: LlmReader, models: CatalogueOfModels, page: Annotated[AnthropicPage, Query()]
) -> OpenAIModels | AnthropicModels:
    """In Anthropic's shape, a page at a time, where `anthropic-version` is sent; else in OpenAI's, all at once."""
    listed = await _allowed(models, principal.policy)
    if speaks_anthropic(request.scope):
        return page.of(listed)
    return OpenAIModels(data=[OpenAIModel.of(model) for model in listed])


@openai_router.get("/v1/models/{model_id:path}", summary="Read a model (OpenAI, Anthropic)")
async def read_clients_model(
    model_id: ModelId, request: Request, principal: LlmReader, models: CatalogueOfModels
) -> OpenAIModel | AnthropicModel:
    model = await _one(model_id, models, principal.policy)
    return AnthropicModel.of(model) if speaks_anthropic(request.scope) else OpenAIModel.of(model)


async def _allowed(models: Catalogue, policy: Policy) -> list[ListedModel]:
    """What the caller's API key may use: what it may not is not there."""
    return [model for model in await models.models() if policy.allows(model.id)]


async def _one(model_id: str, models: Catalogue, policy: Policy) -> ListedModel:
    known = await _allowed(models, policy)
    for model in known:
        if model.id == model_id:
            return model
    raise ModelNotFound(model_id, known=[model.id for model in known])
