"""Models as JSON: our own list, and OpenAI's."""

from datetime import date
from typing import Any, Literal

import msgspec
from pydantic import BaseModel

from llm_service.catalogue.service import ListedModel


class Model(BaseModel):
    """`chain` names what a route or deployment tries, in order; it is empty for a plain model.

    Sizes are in tokens, prices in US dollars per million tokens; null is what nobody knows.
    """

    id: str
    object: Literal["model", "route"]
    providers: list[str]
    chain: list[str] = []
    context_window: int | None = None
    max_output_tokens: int | None = None
    input: list[str] | None = None
    can: list[str] | None = None
    prices: dict[str, Any] | None = None
    deprecated: date | None = None

    @classmethod
    def of(cls, model: ListedModel) -> "Model":
        kind: Literal["model", "route"] = "route" if model.chain else "model"
        facts = model.facts
        return cls(
            id=model.id,
            object=kind,
            providers=list(model.providers),
            chain=list(model.chain),
            context_window=facts.context_window,
            max_output_tokens=facts.max_output_tokens,
            input=None if facts.input is None else sorted(facts.input),
            can=None if facts.can is None else sorted(facts.can),
            prices=None if facts.prices is None else msgspec.to_builtins(facts.prices),
            deprecated=facts.deprecated,
        )


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
