"""How errors look, for the OpenAPI documents; `shared.errors` makes them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from shared.errors import PROBLEM_TYPE

_REFERENCE = "#/components/schemas/{model}"


class Mistake(BaseModel):
    """One mistake in a request: `pointer` (RFC 6901) into the part of it that `in` names."""

    pointer: str
    detail: str
    place: str = Field(alias="in")


class Problem(BaseModel):
    """RFC 9457, with `code` for programs and `request_id` for the logs; some codes add members of their own."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[Mistake] | None = None


class OpenAIError(BaseModel):
    """`type` is OpenAI's word, `code` ours."""

    model_config = ConfigDict(extra="allow")

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorBody(BaseModel):
    """What OpenAI's clients expect of an error."""

    error: OpenAIError


class AnthropicError(BaseModel):
    """`type` is Anthropic's word, `code` ours."""

    model_config = ConfigDict(extra="allow")

    type: str
    message: str
    code: str


class AnthropicErrorBody(BaseModel):
    """What Anthropic's clients expect of an error."""

    type: Literal["error"]
    error: AnthropicError
    request_id: str


SCHEMAS: dict[str, Any] = models_json_schema(
    [(Problem, "serialization"), (OpenAIErrorBody, "serialization"), (AnthropicErrorBody, "serialization")],
    ref_template=_REFERENCE,
)[1]["$defs"]
"""For `components.schemas`."""


def _responses(model: type[BaseModel], media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}}
    return {
        "4XX": {"description": "The request was refused; the answer says why.", "content": content},
        "5XX": {"description": "The request could not be answered.", "content": content},
    }


PROBLEM_DOCS = _responses(Problem, PROBLEM_TYPE)
OPENAI_ERROR_DOCS = _responses(OpenAIErrorBody, "application/json")
ANTHROPIC_ERROR_DOCS = _responses(AnthropicErrorBody, "application/json")
"""`responses` of routes."""
