"""Mistral's refusals, which have three shapes: of the gate, of the JSON's shape, and of what the JSON says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.simulators import provider
from tests.simulators.replies import Document
from tests.simulators.shapes import Problem


@dataclass(eq=False)
class Refusal(provider.Refusal):
    """An error that Mistral answers with."""

    status: int
    body: dict[str, Any]

    def document(self, headers: Mapping[str, str]) -> Document:
        encoded = json.dumps(self.body, separators=(",", ":"), ensure_ascii=False).encode()
        return Document(encoded, self.status, {**headers, "content-type": "application/json"})


def error(message: str, kind: str, code: str | None, *, status: int = 400) -> Refusal:
    body = {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    return Refusal(status, {**body, "raw_status_code": status})


def malformed(problems: Sequence[Problem]) -> Refusal:
    """Every problem at once, as FastAPI tells them."""
    detail = [
        {"type": one.type, "loc": ["body", *one.place], "msg": one.message, "input": one.input} for one in problems
    ]
    return Refusal(422, {"detail": detail})


NOT_JSON = malformed([Problem("json_invalid", (0,), "JSON decode error", {})])
UNAUTHORIZED = Refusal(401, {"detail": "Unauthorized"})
UNKNOWN_URL = Refusal(404, {"message": "no Route matched with those values"})
WRONG_METHOD = Refusal(405, {"detail": "Method Not Allowed"})


def unknown_model(name: str) -> Refusal:
    return error(f"Invalid model: {name}", "invalid_model", "1500")


def wrong_order(message: str) -> Refusal:
    return error(message, "invalid_request_message_order", "3230")


def wrong_call_id(name: str) -> Refusal:
    message = f"Tool call id was {name} but must be a-z, A-Z, 0-9, with a length of 9."
    return error(message, "invalid_function_call", "3280")


def empty_assistant() -> Refusal:
    message = "Assistant message must have either content or tool_calls, but not none."
    return error(message, "invalid_request_assistant_message", "3240")


def unprovoked(status: int, code: str | None = None) -> Refusal:
    """What the service may answer out of the blue with `status`, and with `code` where that has several reasons."""
    match status, code:
        case _, "context_length_exceeded":
            message = (
                "Prompt contains 140012 tokens and 0 draft tokens, too large for model with 131072 maximum context"
            )
            return error(f"{message} length", "invalid_request_prompt", "3051")
        case 429, "insufficient_quota":
            return error("Monthly spend limit reached", "insufficient_quota", "1302", status=429)
        case 429, _:
            message = "Service tier capacity exceeded for this model."
            return error(message, "service_tier_capacity_exceeded", "3505", status=429)
        case 401, _:
            return UNAUTHORIZED
        case 403, _:
            return Refusal(403, {"message": "You cannot consume this service"})
        case 404, _:
            return UNKNOWN_URL
        case 400, _:
            return error("Invalid request", "invalid_request_error", None)
        case _:
            message = "Service unavailable." if status in (502, 503, 504, 529) else "Internal server error"
            return error(message, "internal_server_error", "3000", status=status)
