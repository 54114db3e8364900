"""Anthropic's errors (https://platform.claude.com/docs/en/api/errors), by kind."""

import re
from typing import Any

from llm_service.dialects.failures import excerpt, json_object, kind_of_status
from llm_service.errors import Kind, ProviderError

Json = dict[str, Any]

KIND_OF_TYPE = {
    "invalid_request_error": Kind.BAD_REQUEST,
    "request_too_large": Kind.TOO_LARGE,
    "authentication_error": Kind.CREDENTIALS,
    "billing_error": Kind.CREDENTIALS,
    "permission_error": Kind.CREDENTIALS,
    "not_found_error": Kind.MODEL_UNKNOWN,
    "rate_limit_error": Kind.RATE_LIMITED,
    "timeout_error": Kind.TIMEOUT,
    "api_error": Kind.SERVER,
    "overloaded_error": Kind.OVERLOADED,
}
KIND_OF_STATUS = {
    401: Kind.CREDENTIALS,
    402: Kind.CREDENTIALS,
    403: Kind.CREDENTIALS,
    404: Kind.INVALID_ANSWER,  # without an error object: the address is wrong, or something else answers there
    405: Kind.INVALID_ANSWER,
    408: Kind.SERVER,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMITED,
    504: Kind.TIMEOUT,
    529: Kind.OVERLOADED,
}
KIND_OF_WORDS = (
    (re.compile(r"prompt is too long|exceed context limit|context window", re.IGNORECASE), Kind.CONTEXT_OVERFLOW),
    (re.compile(r"content filtering policy", re.IGNORECASE), Kind.CONTENT_FILTER),
    (re.compile(r"credit balance", re.IGNORECASE), Kind.CREDENTIALS),
)
"""An `invalid_request_error` has no code: only its message says that it is one of these."""


def parse_error(status: int, body: bytes) -> ProviderError:
    """Of an answer that is none: the kind follows the error's type, then the status."""
    error = (json_object(body) or {}).get("error")
    if not isinstance(error, dict):
        told = f"The provider answered {status}."
        return ProviderError(_kind_of(status), told, status=status, page=excerpt(body))
    message = str(error.get("message") or status)
    return ProviderError(_kind_of(status, str(error.get("type")), message), message, status=status)


def in_band(error: Any) -> ProviderError:
    """An error object where an answer was due: the status was already 200."""
    if not isinstance(error, dict):
        return ProviderError(Kind.SERVER, str(error))
    message = str(error.get("message") or "The provider reported an error.")
    return ProviderError(_kind_of(500, str(error.get("type")), message), message)


def _kind_of(status: int, name: str = "", message: str = "") -> Kind:
    kind = KIND_OF_TYPE.get(name)
    if kind is Kind.BAD_REQUEST:
        return next((told for words, told in KIND_OF_WORDS if words.search(message)), kind)
    if kind is not None:
        return kind
    return kind_of_status(status, KIND_OF_STATUS)
