"""Passes requests on to the services: pure ASGI, bytes both ways, nothing held."""

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from api_gateway.authentication import Authentication
from api_gateway.metrics import Metrics
from api_gateway.requests import LimitedBody, RequestHead, check_path
from api_gateway.upstreams import LARGEST_BODIES, Route, find_route
from shared.auth import Principal
from shared.errors import DomainError, InsufficientScope, Unauthorized, Unavailable, error_response
from shared.outgoing import OUTGOING, Outgoing
from shared.upstreams import Upstream

log = structlog.get_logger(__name__)


class Proxy:
    """In front of the gateway's own few routes: what the table knows goes to a service, the rest falls through."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, upstream_timeout: float) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._upstream_timeout = upstream_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        outgoing: Outgoing = scope[OUTGOING]
        body = None
        try:
            head = RequestHead(scope)
            check_path(scope)
            head.check_framing()
            route = find_route(scope["path"])
            body = LimitedBody(receive, limit=self._largest_body(route), declared=head.length, answer=outgoing)
            await self._pass_on(scope, head, body.receive, send, route=route)
        except DomainError as error:
            if outgoing.status:
                raise  # the server breaks the connection off: half an answer must not look whole
            await _refuse(error, scope, receive, send)
        except Exception:
            if not (outgoing.complete or outgoing.withheld):
                raise
            log.exception("the service failed after its answer", path=scope["path"])
        if body is not None and outgoing.withheld:
            await _refuse(body.too_large, scope, receive, send)

    def _largest_body(self, route: Route | None) -> int:
        """In bytes."""
        most = LARGEST_BODIES.get(route.service) if route else None
        return self._max_body_bytes if most is None else min(most, self._max_body_bytes)

    async def _pass_on(
        self, scope: Scope, head: RequestHead, receive: Receive, send: Send, *, route: Route | None
    ) -> None:
        state, outgoing = scope["state"], scope[OUTGOING]
        if route is None or route.public:
            outgoing.told = await state["admission"].of_stranger(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        principal = None
        if not route.public:
            principal = await self._authenticated(scope, head, route)
            outgoing.told = await state["admission"].of_principal(principal)
            needed = route.scope_for(scope["method"])
            if needed is not None and needed not in principal.scopes:
                raise InsufficientScope(needed)
        onward = {**scope, "headers": head.to_pass_on(principal)}
        upstream: Upstream = state["upstreams"][route.service]
        await upstream.forward(onward, receive, send, answer_timeout=self._upstream_timeout)

    async def _authenticated(self, scope: Scope, head: RequestHead, route: Route) -> Principal:
        """Raises what is wrong with the credential; guesses count against the address, so RateLimited too."""
        state = scope["state"]
        authentication: Authentication = state["authentication"]
        metrics: Metrics = state["metrics"]
        try:
            principal = authentication.remembered(head.credentials) or await authentication.principal_of(
                head.credentials, api_key_header=route.api_key_header
            )
        except Unauthorized:
            metrics.authenticated["refused"] += 1
            scope[OUTGOING].told = await state["admission"].of_stranger(scope)
            raise
        except Unavailable:
            metrics.authenticated["unavailable"] += 1
            raise
        metrics.authenticated["accepted"] += 1
        return principal


async def _refuse(error: DomainError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the error instead."""
    scope[OUTGOING].void = False
    await error_response(error, scope=scope)(scope, receive, send)
