"""Domain errors, and the one place that turns them into `application/problem+json` (RFC 9457)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from shared.request_id import request_id_of

log = structlog.get_logger(__name__)

PROBLEM_TYPE = "application/problem+json"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class DomainError(Exception):
    """What a service raises when it cannot do what was asked; `detail` is written for the client."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal server error"

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extra = extra

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the answer carries beside its body."""
        return {}


class ReaderLeft(OSError):
    """What `send` raises within a process once nobody reads any more, as servers do since ASGI 2.4."""


class MalformedRequest(DomainError):
    status, code, title = 400, "malformed_request", "The request cannot be read"


class Unauthorized(DomainError):
    """No credential, or one that does not hold (RFC 6750 §3)."""

    status, code, title = 401, "unauthorized", "Authentication is required"

    def __init__(self, detail: str = "", *, error: str | None = None) -> None:
        super().__init__(detail)
        self.error = error

    @property
    def headers(self) -> dict[str, str]:
        challenge = 'Bearer realm="synapscale"'
        if self.error:
            challenge += f', error="{self.error}", error_description="{self.detail}"'
        return {"www-authenticate": challenge}


class Forbidden(DomainError):
    status, code, title = 403, "forbidden", "This is not allowed"


class InsufficientScope(Forbidden):
    """The token is good, but does not carry the scope that the route asks for (RFC 6750 §3.1)."""

    code, title = "insufficient_scope", "The token lacks a scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs the scope {scope}.", required_scope=scope)
        self.scope = scope

    @property
    def headers(self) -> dict[str, str]:
        return {
            "www-authenticate": f'Bearer realm="synapscale", error="insufficient_scope", scope="{self.scope}"',
        }


class NotFound(DomainError):
    status, code, title = 404, "not_found", "There is nothing here"


class Conflict(DomainError):
    status, code, title = 409, "conflict", "The request conflicts with the present state"


class RequestTimeout(DomainError):
    status, code, title = 408, "request_timeout", "The request did not arrive in time"


class ContentTooLarge(DomainError):
    status, code, title = 413, "content_too_large", "The body is too large"


class UriTooLong(DomainError):
    status, code, title = 414, "uri_too_long", "The request's target is too long"


class HeadersTooLarge(DomainError):
    status, code, title = 431, "headers_too_large", "The request's headers are too large"


class Unprocessable(DomainError):
    status, code, title = 422, "invalid_request", "The request is not valid"


class TooManyRequests(DomainError):
    """`retry_after` in seconds."""

    status, code, title = 429, "too_many_requests", "Too many requests"

    def __init__(self, detail: str = "", *, retry_after: float, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"retry-after": str(max(1, math.ceil(self.retry_after)))}


class BadGateway(DomainError):
    status, code, title = 502, "bad_gateway", "A service behind this one gave no usable answer"


class Unavailable(DomainError):
    """The service may be back soon; the answer says when to try again."""

    status, code, title = 503, "unavailable", "The service is not available"

    def __init__(self, detail: str = "", *, retry_after: float = 1, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"retry-after": str(max(1, math.ceil(self.retry_after)))}


class Stopping(Unavailable):
    """The process is asked to end and has no time left for this answer."""

    code, title = "stopping", "The service is stopping"

    def __init__(self) -> None:
        super().__init__("The service stopped before the answer was complete.", retry_after=5)


class GatewayTimeout(DomainError):
    status, code, title = 504, "gateway_timeout", "A service behind this one took too long"


def problem(error: DomainError, *, instance: str, request_id: str) -> dict[str, Any]:
    """The members of RFC 9457, `code` and `request_id`, then what the error adds."""
    return {
        "type": f"urn:synapscale:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "request_id": request_id,
        **error.extra,
    }


def openai_error(error: DomainError) -> dict[str, Any]:
    """The shape that OpenAI's clients expect (https://platform.openai.com/docs/guides/error-codes)."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = "server_error" if error.status >= 500 else kinds.get(error.status, "invalid_request_error")
    extra = dict(error.extra)
    return {
        "error": {
            "message": error.detail,
            "type": kind,
            "param": extra.pop("param", None),
            "code": error.code,
            **extra,
        }
    }


ANTHROPIC_MARKS = frozenset({b"anthropic-version", b"x-api-key"})
ANTHROPIC_KINDS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def anthropic_error(error: DomainError, *, request_id: str) -> dict[str, Any]:
    """The shape that Anthropic's clients expect (https://docs.claude.com/en/api/errors)."""
    kind = ANTHROPIC_KINDS.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    told = {"type": kind, "message": error.detail, "code": error.code, **error.extra}
    return {"type": "error", "error": told, "request_id": request_id}


def speaks_anthropic(scope: Mapping[str, Any]) -> bool:
    """Whether the client expects Anthropic's shapes: by the path, or where two protocols have the same path by what
    Anthropic's clients send along."""
    path = scope["path"]
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return True
    if path != "/v1/models" and not path.startswith("/v1/models/"):
        return False
    return any(name in ANTHROPIC_MARKS for name, _ in scope.get("headers", ()))


def error_response(error: DomainError, *, scope: Mapping[str, Any]) -> Response:
    """The answer that `error` becomes: problem+json, or on `/v1/*` the shape of the dialect spoken there."""
    path, request_id, status = scope["path"], request_id_of(scope), error.status
    headers = {**error.headers, "x-request-id": request_id, "x-content-type-options": "nosniff"}
    media_type = "application/json"
    if speaks_anthropic(scope):
        body = anthropic_error(error, request_id=request_id)
        headers["request-id"] = request_id  # as its SDKs call it
    elif path.startswith("/v1/"):
        body = openai_error(error)
    else:
        body, media_type = problem(error, instance=path, request_id=request_id), PROBLEM_TYPE
    if status == 422 and path.startswith("/v1/"):
        status = 400  # which is what the SDKs know for every mistake in a request
    return Response(msgspec.json.encode(body), status_code=status, media_type=media_type, headers=headers)


def from_validation(error: RequestValidationError) -> DomainError:
    """400 where the body is not JSON at all, 422 with a JSON pointer (RFC 6901) per mistake otherwise."""
    mistakes = error.errors()
    if any(mistake["type"] == "json_invalid" for mistake in mistakes):
        reason = mistakes[0].get("ctx", {}).get("error", "invalid JSON")
        return MalformedRequest(f"The body is not valid JSON: {reason}.")
    errors = [
        {"pointer": json_pointer(mistake["loc"][1:]), "in": mistake["loc"][0], "detail": mistake["msg"]}
        for mistake in mistakes
    ]
    first = errors[0]
    return Unprocessable(f"{first['in']} {first['pointer']}: {first['detail']}", errors=errors)


def json_pointer(path: Sequence[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def from_http_exception(error: HTTPException) -> DomainError:
    """What the framework raises by itself: unknown path, wrong method, unreadable form."""
    if error.status_code == 404:
        return NotFound("No route answers this path.")
    known = {400: MalformedRequest, 413: ContentTooLarge}
    if error.status_code in known:
        return known[error.status_code](str(error.detail))
    return _FrameworkError(error)


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """For `Allow` (RFC 9110 §10.2.1): the framework names those of the first route with that path only."""
    asked = {"type": "http", "path": path, "root_path": "", "headers": []}
    return [
        method
        for method in METHODS
        if any(route.matches({**asked, "method": method})[0] is Match.FULL for route in app.routes)
    ]


class _FrameworkError(DomainError):
    def __init__(self, error: HTTPException) -> None:
        super().__init__(str(error.detail))
        self.status = error.status_code  # type: ignore[misc] # the framework's status is known at run time only
        self.title = str(error.detail)  # type: ignore[misc]
        self.code = str(error.detail).lower().replace(" ", "_")  # type: ignore[misc]
        self._headers = dict(error.headers or {})

    @property
    def headers(self) -> dict[str, str]:
        return self._headers


def install_error_handlers(app: FastAPI) -> None:
    """Makes every error of `app` a problem+json answer; an unexpected one is logged, and told as a bare 500."""

    async def domain(request: Request, error: Exception) -> Response:
        assert isinstance(error, DomainError)
        return error_response(error, scope=request.scope)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return error_response(from_validation(error), scope=request.scope)

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = error_response(from_http_exception(error), scope=request.scope)
        if error.status_code == 405:
            answer.headers["allow"] = ", ".join(allowed_methods(app, request.scope["path"]))
        return answer

    async def left(request: Request, error: Exception) -> Response:  # noqa: ARG001 # handlers are called with both
        return Response(status_code=499)  # the client went before its request was read: nobody will see it

    async def unexpected(request: Request, error: Exception) -> Response:
        if isinstance(error, ReaderLeft):
            return Response(status_code=499)  # nobody will see it
        log.error("unexpected error", path=request.scope["path"], exc_info=error)
        answer = error_response(
            DomainError("This is our fault; the request id finds it in the logs."), scope=request.scope
        )
        answer.headers["connection"] = "close"  # the server is about to: nobody may send the next request into that
        return answer

    app.add_exception_handler(DomainError, domain)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(ClientDisconnect, left)
    app.add_exception_handler(Exception, unexpected)
