"""Models as JSON: our own list, and OpenAI's."""

from typing import Literal

from pydantic import BaseModel

from llm_service.catalogue.service import ListedModel


class Model(BaseModel):
    """`chain` names what a route tries, in order; it is empty for a plain model."""

    id: str
    object: Literal["model", "route"]
    providers: list[str]
    chain: list[str] = []

    @classmethod
    def of(cls, model: ListedModel) -> "Model":
        kind: Literal["model", "route"] = "route" if model.chain else "model"
        return cls(id=model.id, object=kind, providers=list(model.providers), chain=list(model.chain))


class Models(BaseModel):
    """All models at once: `next_cursor` is always null."""

    data: list[Model]
    next_cursor: None = None


class OpenAIModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str

    @classmethod
    def of(cls, model: ListedModel) -> "OpenAIModel":
        return cls(id=model.id, owned_by=model.providers[0])


class OpenAIModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]
