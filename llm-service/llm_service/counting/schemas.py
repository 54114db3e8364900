"""A count as JSON, and what /docs shows of its request."""

from typing import Any

from pydantic import BaseModel

from llm_service.dialects.ingress import LONGEST_MODEL


class CountedTokens(BaseModel):
    """As Anthropic tells it."""

    input_tokens: int


_TYPED = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
_BLOCKS: dict[str, Any] = {"type": ["string", "array"], "items": _TYPED}
_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["messages"],
    "additionalProperties": True,
    "properties": {
        "model": {"type": ["string", "null"], "minLength": 1, "maxLength": LONGEST_MODEL, "default": "auto"},
        "system": {**_BLOCKS, "type": ["string", "array", "null"]},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "additionalProperties": True,
                "properties": {"role": {"enum": ["user", "assistant", "system"]}, "content": _BLOCKS},
            },
        },
        "tools": {
            "type": ["array", "null"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        },
    },
}
_EXAMPLE = {"model": "claude-sonnet-5", "messages": [{"role": "user", "content": "Qual é a capital do Brasil?"}]}
_ESTIMATED = {
    "schema": {"type": "boolean"},
    "description": "Whether it is an estimate: the model's provider counts none.",
}
COUNT_DOCS: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST, "example": _EXAMPLE}}}
    },
    "responses": {200: {"headers": {"x-synapscale-estimated": _ESTIMATED}}},
}
