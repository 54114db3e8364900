"""What Gemini means by an error: google.rpc.Status (https://ai.google.dev/gemini-api/docs/troubleshooting)."""

import re
from typing import Any

import msgspec

from llm_service.dialects.failures import excerpt, kind_of_status
from llm_service.errors import Kind, ProviderError

Json = dict[str, Any]

KIND_OF_STATUS = {
    401: Kind.CREDENTIALS,
    402: Kind.CREDENTIALS,
    403: Kind.CREDENTIALS,
    404: Kind.MODEL_UNKNOWN,
    408: Kind.SERVER,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMITED,
    499: Kind.SERVER,
    503: Kind.OVERLOADED,
    504: Kind.TIMEOUT,
}
KIND_OF_NAME = {
    "UNAUTHENTICATED": Kind.CREDENTIALS,
    "PERMISSION_DENIED": Kind.CREDENTIALS,
    "NOT_FOUND": Kind.MODEL_UNKNOWN,
    "RESOURCE_EXHAUSTED": Kind.RATE_LIMITED,
    "UNAVAILABLE": Kind.OVERLOADED,
    "DEADLINE_EXCEEDED": Kind.TIMEOUT,
    "CANCELLED": Kind.SERVER,
    "INTERNAL": Kind.SERVER,
    "UNKNOWN": Kind.SERVER,
}
"""`error.status`; those that are the request's own fault follow the number."""
KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "SERVICE_DISABLED"})
OF_THE_KEY = re.compile(r"(your )?api key (not valid|expired|not found|was reported)", re.IGNORECASE)
OF_THE_ACCOUNT = re.compile(r"user location is not supported|.*\b(billing|free tier)\b", re.IGNORECASE)
"""How messages begin: what a client wrote may be quoted further on, and must not put the key to rest."""
OF_THE_WINDOW = re.compile(r"token count.*exceed|exceeds the maximum number of tokens", re.IGNORECASE | re.DOTALL)
OF_THE_PAYLOAD = re.compile(r"request payload size exceeds the limit", re.IGNORECASE)
OF_THE_PURSE = re.compile(r"credits? (are|is) depleted|spending cap|billing account", re.IGNORECASE)
OF_A_FILE = re.compile(r"access the file|file .* not exist|cachedcontent", re.IGNORECASE)
NOT_FROM_THE_API = (404, 405)
"""Without an error object: the address is wrong, or something else answers there; the client is not to blame."""
LONGEST_MESSAGE = 2000


def parse_error(status: int, body: bytes) -> ProviderError:
    """`body` holds the error object, or a list that begins with it (as streams do without `alt=sse`)."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    if isinstance(answer, list) and answer:
        answer = answer[0]
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict | str):
        return error_of(error, status=status)
    kind = Kind.INVALID_ANSWER if status in NOT_FROM_THE_API else kind_of_status(status, KIND_OF_STATUS)
    return ProviderError(kind, f"The provider answered {status}.", status=status, page=excerpt(body))


def error_of(error: Any, *, status: int | None = None) -> ProviderError:
    """An error object; without `status` it came where an answer was due, after a 200."""
    if not isinstance(error, dict):
        return ProviderError(kind_of_status(status or 500, KIND_OF_STATUS), str(error)[:LONGEST_MESSAGE], status=status)
    code = error.get("code")
    number = status or (code if isinstance(code, int) else 500)
    message = str(error.get("message") or error.get("status") or f"The provider answered {number}.")[:LONGEST_MESSAGE]
    details = [one for one in error.get("details") or () if isinstance(one, dict)] if _is_list(error) else []
    return ProviderError(
        _kind(number, str(error.get("status")), message, details),
        message,
        status=status,
        retry_after=_retry_after(details),
        param=_param(details),
    )


def _is_list(error: Json) -> bool:
    return isinstance(error.get("details"), list)


def _kind(status: int, name: str, message: str, details: list[Json]) -> Kind:
    reasons = {str(one.get("reason")) for one in details}
    if reasons & KEY_REASONS or OF_THE_KEY.match(message):
        return Kind.CREDENTIALS  # an invalid key is a 400 here
    if name == "FAILED_PRECONDITION" and OF_THE_ACCOUNT.match(message):
        return Kind.CREDENTIALS  # another provider may do
    if status == 400 and OF_THE_WINDOW.search(message):
        return Kind.CONTEXT_OVERFLOW
    if status == 400 and OF_THE_PAYLOAD.match(message):
        return Kind.TOO_LARGE
    if status == 429 and OF_THE_PURSE.search(message):
        return Kind.CREDENTIALS
    if status == 403 and OF_A_FILE.search(message):
        return Kind.BAD_REQUEST
    return KIND_OF_NAME.get(name) or kind_of_status(status, KIND_OF_STATUS)


def _retry_after(details: list[Json]) -> float | None:
    """Seconds, of google.rpc.RetryInfo (`"retryDelay": "34.07s"`)."""
    for one in details:
        delay = str(one.get("retryDelay") or "")
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?s", delay):
            return float(delay[:-1])
    return None


def _param(details: list[Json]) -> str | None:
    """The field that google.rpc.BadRequest names first."""
    for one in details:
        violations = one.get("fieldViolations")
        if isinstance(violations, list) and violations and isinstance(violations[0], dict):
            return str(violations[0].get("field") or "") or None
    return None
