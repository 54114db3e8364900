"""`POST /api/auth/token` and `POST /api/auth/revoke`."""

from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from auth_service.audit.service import From
from auth_service.tokens.errors import MalformedTokenRequest, UnsupportedGrantType, UnsupportedMediaType
from auth_service.tokens.schemas import (
    REVOCATION_REQUEST_DOCS,
    TOKEN_REQUEST_DOCS,
    LoginToken,
    RefreshRequest,
    RevocationRequest,
    TokenForm,
    TokenRequest,
)
from auth_service.tokens.service import TokenService
from shared.errors import Unprocessable, json_pointer

Model = TypeVar("Model", bound=BaseModel)

router = APIRouter(prefix="/api/auth", tags=["auth"])

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
LARGEST_REQUEST = 16 * 1024
GRANTS: dict[str, type[TokenRequest | RefreshRequest]] = {"password": TokenForm, "refresh_token": RefreshRequest}


async def token_service(request: Request) -> TokenService:
    service: TokenService = request.state.tokens
    return service


async def oauth_fields(request: Request) -> Any:
    """Reads either kind of body by hand, because FastAPI reads one kind a route."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_REQUEST:
            raise MalformedTokenRequest(f"A token request has at most {LARGEST_REQUEST} bytes.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON:
        return _json(body)
    if kind == FORM:
        return _form(body)
    raise UnsupportedMediaType(f"Send {JSON} or {FORM}.")


Tokens = Annotated[TokenService, Depends(token_service)]
Fields = Annotated[Any, Depends(oauth_fields)]


async def token_request(fields: Fields) -> TokenRequest | RefreshRequest:
    grant_type = fields.get("grant_type") if isinstance(fields, dict) else "password"
    if not isinstance(grant_type, str) or grant_type not in GRANTS:
        raise UnsupportedGrantType(f"The grant type must be {' or '.join(GRANTS)}.")
    return _valid(GRANTS[grant_type], fields)


async def revocation_request(fields: Fields) -> RevocationRequest:
    return _valid(RevocationRequest, fields)


@router.post("/token", summary="Log in, or renew a token", openapi_extra=TOKEN_REQUEST_DOCS)
async def create_token(
    asked: Annotated[TokenRequest | RefreshRequest, Depends(token_request)],
    tokens: Tokens,
    origin: From,
    response: Response,
) -> LoginToken:
    response.headers["cache-control"] = "no-store"
    if isinstance(asked, RefreshRequest):
        return await tokens.refresh(asked, origin=origin)
    return await tokens.create(asked, origin=origin)


@router.post(
    "/revoke",
    summary="End the session of a token",
    response_class=Response,
    response_description="The token is good for nothing any more, whatever it was",
    openapi_extra=REVOCATION_REQUEST_DOCS,
)
async def revoke_token(
    asked: Annotated[RevocationRequest, Depends(revocation_request)], tokens: Tokens, origin: From
) -> Response:
    """Needs no other credential than the token, and answers 200 for an unknown one too (RFC 7009)."""
    await tokens.revoke(asked.token, origin=origin)
    return Response(status_code=200)


def _json(body: bytes) -> Any:
    """A request without a grant type is one with a password."""
    try:
        fields = from_json(body)
    except ValueError:
        raise MalformedTokenRequest("The body is not valid JSON.") from None
    return {"grant_type": "password", **fields} if isinstance(fields, dict) else fields


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=32
        )
    except ValueError:
        raise MalformedTokenRequest("The body is not a form.") from None
    form = dict(pairs)
    if len(form) != len(pairs):  # RFC 6749 §3.2
        raise MalformedTokenRequest("A field is given twice.")
    return form


def _valid(model: type[Model], fields: Any) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> Unprocessable:
    mistakes = error.errors(include_url=False, include_input=False)
    errors = [{"pointer": json_pointer(m["loc"]), "in": "body", "detail": m["msg"]} for m in mistakes]
    detail = f"body {errors[0]['pointer']}: {errors[0]['detail']}"
    return Unprocessable(detail, errors=errors, error="invalid_request", error_description=detail)
