"""Gemini's refusals, in its own words: https://ai.google.dev/gemini-api/docs/troubleshooting."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulators import provider
from tests.simulators.replies import Document

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_GOOGLE = "type.googleapis.com/google.rpc"


@dataclass(eq=False)
class Refusal(provider.Refusal):
    """An error that Gemini answers with."""

    message: str
    status: int = 400
    name: str = ""
    """Google's name of the status, where it is not the usual one of the code."""
    details: list[dict[str, Any]] = field(default_factory=list)

    def body(self, retry_after: str | None = None) -> dict[str, Any]:
        """Google says in the body how long to wait; it sends no Retry-After."""
        waits = [{"@type": f"{_GOOGLE}.RetryInfo", "retryDelay": f"{retry_after}s"}] if retry_after else []
        details = [*self.details, *waits]
        name = self.name or _STATUS.get(self.status, "UNKNOWN")
        error = {"code": self.status, "message": self.message, "status": name}
        return {"error": {**error, "details": details} if details else error}

    def document(self, headers: Mapping[str, str]) -> Document:
        body = self.body(headers.get("retry-after"))
        encoded = json.dumps(body, indent=2, ensure_ascii=False).encode() + b"\n"
        return Document(encoded, self.status, {**headers, "content-type": "application/json; charset=UTF-8"})


def not_json() -> Refusal:
    return Refusal("Invalid JSON payload received. Expected an object key or }.\n{\n^")


def no_key() -> Refusal:
    return Refusal(
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other "
        "form of API consumer identity to call this API.",
        403,
    )


def wrong_key() -> Refusal:
    message = "API key not valid. Please pass a valid API key."
    reason = {
        "@type": f"{_GOOGLE}.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    words = {"@type": f"{_GOOGLE}.LocalizedMessage", "locale": "en-US", "message": message}
    return Refusal(message, details=[reason, words])


def unknown_model(name: str, method: str) -> Refusal:
    return Refusal(
        f"models/{name} is not found for API version v1beta, or is not supported for {method}. Call ListModels to see "
        "the list of available models and their supported methods.",
        404,
    )


def unlisted_model(name: str) -> Refusal:
    return Refusal(f"Model is not found: models/{name} for api version v1beta", 404)


def unknown_name(name: str, place: str) -> Refusal:
    at = f" at '{place}'" if place else ""
    return _violation(f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.', place)


def invalid_value(place: str, kind: str, value: Any) -> Refusal:
    spelt = kind if kind.startswith("TYPE_") and kind != "TYPE_ENUM" else f"type.googleapis.com/{kind}"
    return _violation(f"Invalid value at '{place}' ({spelt}), {json.dumps(value, ensure_ascii=False)}", place)


def rule(place: str, words: str) -> Refusal:
    return Refusal(f"* GenerateContentRequest.{place}: {words}\n")


def _violation(message: str, place: str) -> Refusal:
    violation = {"field": place, "description": message} if place else {"description": message}
    return Refusal(message, details=[{"@type": f"{_GOOGLE}.BadRequest", "fieldViolations": [violation]}])


OVERLOADED = Refusal("The model is overloaded. Please try again later.", 503)


def unprovoked(status: int, code: str | None = None) -> Refusal:
    """What the service may answer out of the blue with `status`, and with `code` where that has several reasons."""
    match status, code:
        case _, "context_length_exceeded":
            return Refusal("The input token count (1200043) exceeds the maximum number of tokens allowed (1048576).")
        case 429, "insufficient_quota":
            return Refusal(_QUOTA, 429, details=[_quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier")])
        case 429, _:
            return Refusal("Resource has been exhausted (e.g. check quota).", 429)
        case 401, _:
            return Refusal(_UNAUTHENTICATED, 401)
        case _:
            return Refusal(_WORDS.get(status, _WORDS[500]), status)


def _quota_failure(quota: str) -> dict[str, Any]:
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
        "quotaValue": "250",
    }
    return {"@type": f"{_GOOGLE}.QuotaFailure", "violations": [violation]}


_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
_UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential."
)
_WORDS = {
    400: "Request contains an invalid argument.",
    403: "The caller does not have permission",
    404: "Requested entity was not found.",
    408: "The request timed out. Please try again.",
    500: "An internal error has occurred. Please retry or report in "
    "https://developers.generativeai.google/guide/troubleshooting",
    502: "Bad Gateway",
    503: "The model is overloaded. Please try again later.",
    504: "Deadline expired before operation could complete.",
    529: "The model is overloaded. Please try again later.",
}
