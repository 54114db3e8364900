"""What /docs shows of completions. Bodies are read by the dialects, not by pydantic: unknown fields must survive."""

from typing import Any, get_args

from llm_service.dialects.ingress import LONGEST_DEADLINE, LONGEST_MODEL, LONGEST_TTL, Strategy
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


_MODEL: dict[str, Any] = {
    "type": ["string", "null"],
    "minLength": 1,
    "maxLength": LONGEST_MODEL,
    "default": "auto",
    "description": "A model, provider/model, or a route.",
    "examples": ["gpt-4o-mini"],
}
_NAME = {"type": "string", "minLength": 1, "maxLength": LONGEST_MODEL}
_OURS: dict[str, Any] = {
    "fallbacks": {
        "type": ["array", "null"],
        "maxItems": 10,
        "items": _NAME,
        "description": "Models to try next, in order; an empty list switches fallback off.",
    },
    "routing": {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "mode": {
                "enum": ["ordered", "cheapest", "fastest", None],
                "description": "How the models of a route are ordered.",
            },
            "assured": {
                "type": "boolean",
                "default": False,
                "description": "Hold the answer back until it is complete, so that one that breaks off is replaced.",
            },
            "deadline_ms": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": LONGEST_DEADLINE,
                "description": "For all attempts together.",
            },
        },
    },
    "context": {
        "type": ["object", "null"],
        "additionalProperties": False,
        "description": "What is done with a request that is larger than a model's context window.",
        "properties": {
            "strategy": {"enum": [*get_args(Strategy), None]},
            "max_input_tokens": {"type": ["integer", "null"], "minimum": 1, "description": "A bound of your own."},
        },
    },
    "cache": {
        "description": "Take an answer that was given to the same request, up to `ttl` seconds ago; `false`: never.",
        "anyOf": [
            {
                "type": "object",
                "required": ["ttl"],
                "additionalProperties": False,
                "properties": {"ttl": {"type": "integer", "minimum": 1, "maximum": LONGEST_TTL}},
            },
            {"enum": [False, None]},
        ],
    },
    "drop_params": {
        "type": ["boolean", "array", "null"],
        "maxItems": 50,
        "items": {"type": "string"},
        "description": "What a provider cannot be asked may be left out: all of it, or these fields.",
    },
}
"""Fields of every dialect that are for us."""
_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["messages"],
    "additionalProperties": True,
    "properties": {
        "model": _MODEL,
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
        **_OURS,
    },
}
_BLOCKS: dict[str, Any] = {
    "type": ["string", "array"],
    "items": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}},
    "description": "Text, or blocks, each of which has the fields of its type.",
}
_MESSAGE_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["messages"],
    "additionalProperties": True,
    "properties": {
        "model": {**_MODEL, "examples": ["claude-sonnet-5"]},
        "max_tokens": {"type": ["integer", "null"], "description": "Anthropic's own models demand it."},
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
            "examples": [[{"role": "user", "content": "Qual é a capital do Brasil?"}]],
        },
        "stream": {"type": ["boolean", "null"], "default": False},
        **_OURS,
        "fallbacks": {
            "anyOf": [
                {"type": ["array", "null"], "maxItems": 10, "items": _NAME},
                {"type": "array", "minItems": 1, "items": {"type": "object"}},
                {"const": "default"},
            ],
            "description": "Names of models to try next, in order. Anthropic's own fallbacks go to Anthropic.",
        },
    },
}
"""Anthropic's request."""
_EXAMPLE = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Qual é a capital do Brasil?"}]}
_HEADERS = {
    "x-synapscale-model": {"schema": {"type": "string"}, "description": "The model that answered."},
    "x-synapscale-provider": {"schema": {"type": "string"}, "description": "The provider that answered."},
    "x-synapscale-attempts": {"schema": {"type": "integer"}, "description": "Attempts, the last one included."},
    "x-synapscale-fallback": {"schema": {"type": "boolean"}, "description": "Whether another than the first answered."},
    "x-synapscale-ledger-id": {"schema": {"type": "string"}, "description": "For `GET /api/llm/requests/{id}`."},
    "x-synapscale-overhead-ms": {"schema": {"type": "number"}, "description": "Time that no provider took."},
    "x-synapscale-cost-usd": {
        "schema": {"type": "string"},
        "description": "A decimal; absent where a price is unknown, and on streams (`done` has it on our own).",
    },
    "x-synapscale-context": {"schema": {"type": "string"}, "description": "What was left out of the conversation."},
    "x-synapscale-max-output-tokens": {
        "schema": {"type": "integer"},
        "description": "How long the answer could be, where the API key's limits left no room for more.",
    },
    "x-synapscale-cache": {"schema": {"enum": ["hit", "miss"]}, "description": "Where answers are kept."},
}


_MESSAGE_EXAMPLE = {**_EXAMPLE, "model": "claude-sonnet-5", "max_tokens": 1024}


def _asked(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route whose body has that schema."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def _docs(extra: dict[str, Any], answer: str, stream: str) -> dict[str, Any]:
    described = {
        "description": f"{answer}; with `stream`, events.",
        "headers": _HEADERS,
        "content": {
            "application/json": {"schema": {"type": "object", "additionalProperties": True}},
            "text/event-stream": event_stream_docs(stream),
        },
    }
    return {"openapi_extra": extra, "responses": {200: described}}


_OUR_STREAM = "start, delta, reasoning, tool_call, usage, and at the end one done or error."
_COMPLETION = (_asked(_REQUEST, _EXAMPLE), "OpenAI's `chat.completion`")
_MESSAGE = (_asked(_MESSAGE_REQUEST, _MESSAGE_EXAMPLE), "Anthropic's `message`")
OPENAI_COMPLETION_DOCS = _docs(*_COMPLETION, "OpenAI's `chat.completion.chunk` objects, ended by `[DONE]`.")
COMPLETION_DOCS = _docs(*_COMPLETION, _OUR_STREAM)
ANTHROPIC_MESSAGE_DOCS = _docs(*_MESSAGE, "Anthropic's events, from `message_start` to `message_stop` or `error`.")
MESSAGE_DOCS = _docs(*_MESSAGE, _OUR_STREAM)
