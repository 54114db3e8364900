"""`POST /api/auth/token`."""

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from auth_service.tokens.errors import MalformedTokenRequest, UnsupportedGrantType, UnsupportedMediaType
from auth_service.tokens.schemas import TOKEN_REQUEST_DOCS, Token, TokenRequest
from auth_service.tokens.service import TokenService
from shared.errors import Unprocessable, json_pointer

router = APIRouter(prefix="/api/auth", tags=["auth"])

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
LARGEST_REQUEST = 16 * 1024


def token_service(request: Request) -> TokenService:
    service: TokenService = request.state.tokens
    return service


Tokens = Annotated[TokenService, Depends(token_service)]


async def token_request(request: Request) -> TokenRequest:
    """Reads either body. The types are checked here because FastAPI reads one kind of body a route."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_REQUEST:
            raise MalformedTokenRequest(f"A token request has at most {LARGEST_REQUEST} bytes.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == JSON:
            return TokenRequest.model_validate_json(body)
        if kind == FORM:
            return TokenRequest.model_validate(_form(body))
    except ValidationError as error:
        raise _refusal(error) from None
    raise UnsupportedMediaType(f"Send {JSON} or {FORM}.")


@router.post("/token", summary="Log in", openapi_extra=TOKEN_REQUEST_DOCS)
async def create_token(
    asked: Annotated[TokenRequest, Depends(token_request)], tokens: Tokens, response: Response
) -> Token:
    response.headers["cache-control"] = "no-store"
    return await tokens.create(asked)


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
    if form.get("grant_type") != "password":
        raise UnsupportedGrantType("The grant type must be password.")
    return form


def _refusal(error: ValidationError) -> Unprocessable | MalformedTokenRequest:
    mistakes = error.errors(include_url=False, include_input=False)
    if any(mistake["type"] == "json_invalid" for mistake in mistakes):
        return MalformedTokenRequest("The body is not valid JSON.")
    errors = [{"pointer": json_pointer(m["loc"]), "in": "body", "detail": m["msg"]} for m in mistakes]
    detail = f"body {errors[0]['pointer']}: {errors[0]['detail']}"
    return Unprocessable(detail, errors=errors, error="invalid_request", error_description=detail)
