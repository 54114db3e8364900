"""The platform's one ledger, which llm-service keeps, as the other services reserve from it and charge to it."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import msgspec

from shared.auth.principal import Principal
from shared.auth.services import service_authorization
from shared.clients.problems import from_transport, raise_for_problem
from shared.events import Usage
from shared.ids import uuid7_hex
from shared.upstreams import Upstream

TIME_LIMIT = 5.0


class LedgerClient:
    """Calls of one service, in its own name, on the account of a principal whose token it has verified.

    All raise the service's own problem (429 `budget_exhausted`, `tokens_per_minute`, `concurrent_requests`; 413
    `request_exceeds_limit`), Unavailable, GatewayTimeout or BadGateway.
    """

    def __init__(self, llm: Upstream, *, secret: str, service: str) -> None:
        self._llm = llm
        self._headers = {
            "authorization": service_authorization(secret, service),
            "content-type": "application/json",
        }

    async def reserve(
        self, principal: Principal, *, model: str, usd: Decimal, tokens: int = 0, request_id: str = ""
    ) -> UUID:
        """Before anything is spent: what it may cost at most. To be renewed within a minute, and charged by its id.

        `model` is what is paid for, in the words of whoever pays: a tool's name, say.
        """
        reservation_id = UUID(hex=uuid7_hex())
        body = {"payer": _payer(principal), "model": model, "usd": usd, "tokens": tokens, "request_id": request_id}
        await self._post("/internal/ledger/reservations", {"id": reservation_id, **body})
        return reservation_id

    async def renew(self, reservation_id: UUID) -> None:
        await self._post(f"/internal/ledger/reservations/{reservation_id}/renew", None)

    async def charge(
        self,
        principal: Principal,
        *,
        id: UUID,
        reserved: bool,
        model: str,
        cost_usd: Decimal | None,
        started_at: datetime,
        provider: str = "",
        usage: Usage | None = None,
        result: str = "completed",
        error: str | None = None,
        request_id: str = "",
        total_ms: float = 0,
    ) -> None:
        """What was really spent, or 0 to give a reservation back. It is durable when this returns.

        The same `id` twice counts once, so it may be tried again; without a reservation any new UUIDv7 will do.
        """
        body = {
            "id": id,
            "reserved": reserved,
            "payer": _payer(principal),
            "model": model,
            "provider": provider,
            "usage": usage or Usage(),
            "cost_usd": cost_usd,
            "result": result,
            "error": error,
            "request_id": request_id,
            "started_at": started_at,
            "total_ms": total_ms,
        }
        await self._post("/internal/ledger/charges", body)

    async def _post(self, path: str, body: dict[str, Any] | None) -> None:
        content = None if body is None else msgspec.json.encode(body)
        call = self._llm.client().post(path, content=content, headers=self._headers, timeout=TIME_LIMIT)
        try:
            response = await call
        except httpx2.HTTPError as error:
            raise from_transport(error, service="llm") from error
        await raise_for_problem(response, service="llm")


def _payer(principal: Principal) -> dict[str, Any]:
    return {
        "organization_id": principal.organization_id,
        "user_id": principal.user_id,
        "session_id": principal.session_id,
        "policy": principal.policy,
    }
