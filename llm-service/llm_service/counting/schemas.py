"""A count as JSON, and what /docs shows of its request."""

from typing import Any

from pydantic import BaseModel

from llm_service.dialects.ingress import LONGEST_MODEL


class CountedTokens(BaseModel):
    """As Anthropic tells it."""

    input_tokens: int


_BLOCKS: dict[str, Any] = {"type": ["string", "array"], "items": {"type": "object"}}
_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["messages"],
    "additionalProperties": True,
    "properties": {
        "model": {"type": ["string", "null"], "minLength": 1, "maxLength": LONGEST_MODEL, "default": "auto"},
        "system": _BLOCKS,
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
        "tools": {"type": "array", "items": {"type": "object"}},
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
