"""OpenAI's refusals, in its own words: https://platform.openai.com/docs/guides/error-codes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulators import provider
from tests.simulators.replies import Document

SORRY = (
    "The server had an error while processing your request. Sorry about that! You can retry your request, or contact "
    "us through our help center at help.openai.com if the error persists."
)
NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
    "figuring out how to fix this, please contact us through our help center at help.openai.com.)"
)


@dataclass(eq=False)
class Refusal(provider.Refusal):
    """An error that OpenAI answers with."""

    message: str
    param: str | None = None
    code: str | None = None
    status: int = 400
    type: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def document(self, headers: Mapping[str, str]) -> Document:
        """Indented as OpenAI's is, without a line end; `headers` are those of every answer."""
        encoded = json.dumps(self.body, indent=2, ensure_ascii=False).encode()
        return Document(encoded, self.status, {**headers, "content-type": "application/json", **self.headers})


def not_json() -> Refusal:
    return Refusal(NOT_JSON)


def no_key() -> Refusal:
    return Refusal(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the "
        "API from your browser and are prompted for a username and password. You can obtain an API key from "
        "https://platform.openai.com/account/api-keys.",
        status=401,
    )


def wrong_key(key: str) -> Refusal:
    masked = f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}" if len(key) > 12 else key
    return Refusal(
        f"Incorrect API key provided: {masked}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
        status=401,
    )


def unknown_model(name: str) -> Refusal:
    return Refusal(
        f"The model `{name}` does not exist or you do not have access to it.", code="model_not_found", status=404
    )


def unlisted_model(name: str) -> Refusal:
    """What `GET /models/{name}` says; its words are not those of a completion."""
    return Refusal(f"The model '{name}' does not exist", param="model", code="model_not_found", status=404)


def unknown_url(method: str, path: str) -> Refusal:
    return Refusal(f"Invalid URL ({method} {path})", status=404)


def wrong_method(method: str, path: str) -> Refusal:
    return Refusal(
        f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)",
        code="method_not_supported",
        status=405,
    )


def unrecognized(names: str) -> Refusal:
    return Refusal(f"Unrecognized request argument supplied: {names}")


def missing(param: str) -> Refusal:
    return Refusal(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def wrong_type(param: str, *, expected: str, got: str) -> Refusal:
    return Refusal(
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.", param=param, code="invalid_type"
    )


def wrong_value(param: str, value: object, supported: tuple[str, ...]) -> Refusal:
    named = ", ".join(f"'{one}'" for one in supported[:-1])
    message = f"Invalid value: '{value}'. Supported values are: {named}, and '{supported[-1]}'."
    return Refusal(message, param=param, code="invalid_value")


def empty_array(param: str) -> Refusal:
    return Refusal(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        param=param,
        code="empty_array",
    )


def out_of_range(param: str, value: float, *, kind: str, limit: float, above: bool) -> Refusal:
    """`kind` is `integer` or `decimal`."""
    return Refusal(
        f"Invalid '{param}': {kind} {'above maximum' if above else 'below minimum'} value. "
        f"Expected a value {'<=' if above else '>='} {limit}, but got {value} instead.",
        param=param,
        code=f"{kind}_{'above_max' if above else 'below_min'}_value",
    )


def unsupported_parameter(param: str, instead: str) -> Refusal:
    return Refusal(
        f"Unsupported parameter: '{param}' is not supported with this model. Use '{instead}' instead.",
        param=param,
        code="unsupported_parameter",
    )


def unsupported_value(param: str, value: object) -> Refusal:
    return Refusal(
        f"Unsupported value: '{param}' does not support {value} with this model.",
        param=param,
        code="unsupported_value",
    )


def unanswered_calls(ids: list[str]) -> Refusal:
    return Refusal(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(ids)}",
        param="messages",
    )


def unprovoked(status: int, code: str | None = None) -> Refusal:
    """What the service may answer out of the blue with `status`; `code`, or a type, where that has several reasons."""
    for refusal in _UNPROVOKED:
        if refusal.status == status and code in (None, refusal.code, refusal.type):
            return refusal
    return Refusal(SORRY, status=status, type="server_error", code=code)


_UNPROVOKED = (
    Refusal("Bad request. Please check your parameters and try again."),
    Refusal(
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens. "
        "Please reduce the length of the messages.",
        param="messages",
        code="context_length_exceeded",
    ),
    wrong_key("sk-proj-revoked-0000"),
    Refusal(
        "Country, region, or territory not supported",
        code="unsupported_country_region_territory",
        status=403,
        type="request_forbidden",
    ),
    unknown_model("gpt-4o"),
    Refusal(
        "Timed out generating response. Please try again with a shorter prompt or with `max_tokens` set to a lower "
        "value.",
        code="request_timeout",
        status=408,
        type="internal_error",
    ),
    Refusal(
        "Rate limit reached for gpt-4o in organization org-simulated on requests per min (RPM): Limit 500, Used 500, "
        "Requested 1. Please try again in 120ms. Visit https://platform.openai.com/account/rate-limits to learn more.",
        code="rate_limit_exceeded",
        status=429,
        type="requests",
        headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"},
    ),
    Refusal(
        "Request too large for gpt-4o in organization org-simulated on tokens per min (TPM): Limit 30000, Requested "
        "40000. The input or output tokens must be reduced in order to run successfully. Visit "
        "https://platform.openai.com/account/rate-limits to learn more.",
        code="rate_limit_exceeded",
        status=429,
        type="tokens",
    ),
    Refusal(
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        code="insufficient_quota",
        status=429,
        type="insufficient_quota",
    ),
    Refusal(SORRY, status=500, type="server_error"),
    Refusal("The engine is currently overloaded, please try again later", status=503, type="server_error"),
)
