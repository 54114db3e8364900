"""Models as JSON: our own list, and OpenAI's."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field

from llm_service.catalogue.service import ListedModel
from shared.errors import MalformedRequest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


class AnthropicModel(BaseModel):
    """`created_at` is the epoch: nobody tells when a model was released. Sizes are null where they are not known."""

    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: datetime = EPOCH
    lifecycle: Literal["active", "deprecated"]
    deprecated_at: datetime | None = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None

    @classmethod
    def of(cls, model: ListedModel) -> "AnthropicModel":
        facts = model.facts
        return cls(
            id=model.id,
            display_name=model.id,
            lifecycle="deprecated" if facts.deprecated else "active",
            deprecated_at=datetime.combine(facts.deprecated, time(), UTC) if facts.deprecated else None,
            max_input_tokens=facts.context_window,
            max_tokens=facts.max_output_tokens,
        )


class AnthropicModels(BaseModel):
    """A page; `has_more` is in the direction in which it was asked for."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


class AnthropicPage(BaseModel):
    """Which page Anthropic's clients ask for: after a model, before one, or the first."""

    limit: int = Field(20, ge=1, le=1000)
    after_id: str | None = Field(None, max_length=256)
    before_id: str | None = Field(None, max_length=256)

    def of(self, models: Sequence[ListedModel]) -> AnthropicModels:
        """Raises MalformedRequest for a model that is not listed."""
        before = self.after_id is None and self.before_id is not None
        start, end = 0, len(models)
        if self.after_id is not None:
            start = _place(models, self.after_id) + 1
        if self.before_id is not None:
            end = max(start, _place(models, self.before_id))
        page = models[max(start, end - self.limit) : end] if before else models[start : min(end, start + self.limit)]
        return AnthropicModels(
            data=[AnthropicModel.of(model) for model in page],
            has_more=len(page) < end - start,
            first_id=page[0].id if page else None,
            last_id=page[-1].id if page else None,
        )


def _place(models: Sequence[ListedModel], model_id: str) -> int:
    for place, model in enumerate(models):
        if model.id == model_id:
            return place
    raise MalformedRequest(f"There is no model {model_id!r} to list from.")


class OpenAIModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]
