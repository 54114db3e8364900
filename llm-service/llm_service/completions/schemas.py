"""What /docs shows of completions. Bodies are read by the dialects, not by pydantic: unknown fields must survive."""

from typing import Any

from llm_service.dialects.ingress import LONGEST_DEADLINE, LONGEST_MODEL
from shared.sse import event_stream_docs

_OPTIONAL_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_CONTENT: dict[str, Any] = {
    "type": ["string", "array", "null"],
    "items": {"type": "object"},
    "description": "Text, or a list of parts.",
}


def _message(roles: list[str], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["role", *more],
        "additionalProperties": True,
        "properties": {"role": {"enum": roles}, "content": _CONTENT, "name": _OPTIONAL_TEXT, **more},
    }


_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["messages"],
    "additionalProperties": True,
    "properties": {
        "model": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": LONGEST_MODEL,
            "default": "auto",
            "description": "A model, provider/model, or a route.",
            "examples": ["gpt-4o-mini"],
        },
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "anyOf": [
                    _message(["system", "developer", "user", "assistant"]),
                    _message(["tool"], tool_call_id={"type": "string"}),
                ]
            },
            "examples": [[{"role": "user", "content": "Qual é a capital do Brasil?"}]],
        },
        "stream": {"type": ["boolean", "null"], "default": False},
        "stream_options": {"type": ["object", "null"]},
        "fallbacks": {
            "type": ["array", "null"],
            "maxItems": 10,
            "items": {"type": "string"},
            "description": "Models to try next, in order; an empty list switches fallback off.",
        },
        "routing": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {
                "mode": {"enum": ["ordered"]},
                "deadline_ms": {
                    "type": ["integer", "null"],
                    "minimum": 1,
                    "maximum": LONGEST_DEADLINE,
                    "description": "For all attempts together.",
                },
            },
        },
    },
}
_EXAMPLE = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Qual é a capital do Brasil?"}]}
_HEADERS = {
    "x-synapscale-model": {"schema": {"type": "string"}, "description": "The model that answered."},
    "x-synapscale-provider": {"schema": {"type": "string"}, "description": "The provider that answered."},
    "x-synapscale-attempts": {"schema": {"type": "integer"}, "description": "Attempts, the last one included."},
    "x-synapscale-fallback": {"schema": {"type": "boolean"}, "description": "Whether another than the first answered."},
}


def _docs(stream: str) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": _REQUEST, "example": _EXAMPLE}}}
    answer = {
        "description": "OpenAI's `chat.completion`; with `stream`, events.",
        "headers": _HEADERS,
        "content": {
            "application/json": {"schema": {"type": "object", "additionalProperties": True}},
            "text/event-stream": event_stream_docs(stream),
        },
    }
    return {"openapi_extra": {"requestBody": body}, "responses": {200: answer}}


OPENAI_COMPLETION_DOCS = _docs("OpenAI's `chat.completion.chunk` objects, ended by `[DONE]`.")
COMPLETION_DOCS = _docs("start, delta, reasoning, tool_call, usage, and at the end one done or error.")
