"""Anthropic's refusals, in its own words: https://platform.claude.com/docs/en/api/errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulators import provider
from tests.simulators.replies import Document

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(eq=False)
class Refusal(provider.Refusal):
    """An error that Anthropic answers with."""

    message: str
    status: int = 400

    def body(self, request_id: str) -> dict[str, Any]:
        error = {"type": _TYPES.get(self.status, "api_error"), "message": self.message}
        return {"type": "error", "error": error, "request_id": request_id}

    def document(self, headers: Mapping[str, str]) -> Document:
        """On one line; the body repeats the header `request-id`."""
        encoded = json.dumps(self.body(headers["request-id"]), separators=(",", ":"), ensure_ascii=False).encode()
        retried = {"x-should-retry": "true" if self.status in (408, 409, 429) or self.status >= 500 else "false"}
        return Document(encoded, self.status, {**retried, **headers, "content-type": "application/json"})


NOT_JSON = Refusal("The request body is not valid JSON: expected value at line 1 column 1 (char 0)")
NO_KEY = Refusal("x-api-key header is required", 401)
WRONG_KEY = Refusal("invalid x-api-key", 401)
WRONG_TOKEN = Refusal("invalid bearer token", 401)
NO_VERSION = Refusal("anthropic-version: header is required")
UNKNOWN_URL = Refusal("Not found", 404)
WRONG_METHOD = Refusal("Method Not Allowed", 405)
OVERLOADED = Refusal("Overloaded", 529)


def unknown_model(name: str) -> Refusal:
    return Refusal(f"model: {name}", 404)


def unprovoked(status: int, code: str | None = None) -> Refusal:
    """What the service may answer out of the blue with `status`; an empty purse is a 400, whatever `status` says."""
    match code:
        case "insufficient_quota":
            return Refusal(
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "
                "or purchase credits."
            )
        case "context_length_exceeded":
            return Refusal("prompt is too long: 208310 tokens > 200000 maximum")
        case _:
            return Refusal(_WORDS.get(status, "Internal server error"), status)


_WORDS = {
    400: "messages: at least one message is required",
    401: "invalid x-api-key",
    402: "There is an issue with your billing or payment information.",
    403: "Your API key does not have permission to use the specified resource.",
    404: "model: claude-sonnet-4-5",
    408: "Request timed out",
    413: "Request exceeds the maximum size",
    429: "This request would exceed your organization's rate limit of 50 requests per minute. For details, refer to: "
    "https://docs.claude.com/en/api/rate-limits. You can see the response headers for current usage.",
    502: "Bad gateway",
    503: "Service temporarily unavailable",
    504: "Request timed out while processing",
    529: "Overloaded",
}
