"""`POST /internal/auth/token`: for authenticated services; the gateway does not route it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response

from auth_service.audit.service import From
from auth_service.exchange.schemas import ExchangedToken, ExchangeRequest
from auth_service.exchange.service import TokenExchange
from shared.auth.services import CallingService

router = APIRouter(prefix="/internal/auth", include_in_schema=False)


async def token_exchange(request: Request) -> TokenExchange:
    exchange: TokenExchange = request.state.exchange
    return exchange


Exchange = Annotated[TokenExchange, Depends(token_exchange)]


@router.post("/token")
async def exchange_token(
    asked: Annotated[ExchangeRequest, Form()],
    service: CallingService,
    exchange: Exchange,
    origin: From,
    response: Response,
) -> ExchangedToken:
    response.headers["cache-control"] = "no-store"
    return await exchange.exchange(asked, service=service, origin=origin)
