"""Passes requests on to the services: pure ASGI, bytes both ways, nothing held."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_gateway.admission import Admission
from api_gateway.authentication import Authentication
from api_gateway.credentials import with_token
from api_gateway.rate_limit import Headers
from api_gateway.requests import LimitedBody, check_framing, check_path, check_size, headers_to_pass_on
from api_gateway.upstreams import LARGEST_BODIES, Route, find_route
from shared.auth import Principal
from shared.errors import DomainError, InsufficientScope, Unauthorized, Unavailable, error_response

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
        route = find_route(scope["path"])
        body = LimitedBody(receive, scope, limit=self._largest_body(route))
        answer = _Answer(send, body)
        try:
            check_size(scope)
            check_path(scope)
            check_framing(scope)
            if body.exceeded:
                raise body.too_large
            await self._pass_on(scope, body.receive, answer, route=route)
        except DomainError as error:
            if answer.started:
                raise  # the server breaks the connection off: half an answer must not look whole
            await answer.refuse(error, scope, receive)
        except Exception:
            if not (answer.complete or answer.withheld):
                raise
            log.exception("the service failed after its answer", path=scope["path"])
        if answer.withheld:
            await answer.refuse(body.too_large, scope, receive)

    def _largest_body(self, route: Route | None) -> int:
        """In bytes."""
        most = LARGEST_BODIES.get(route.service) if route else None
        return self._max_body_bytes if most is None else min(most, self._max_body_bytes)

    async def _pass_on(self, scope: Scope, receive: Receive, answer: "_Answer", *, route: Route | None) -> None:
        admission: Admission = scope["state"]["admission"]
        if route is None or route.public:
            answer.limits = await admission.of_stranger(scope)
        if route is None:
            await self._app(scope, receive, answer.send)
            return
        headers = headers_to_pass_on(scope)
        if not route.public:
            principal = await self._authenticated(scope, route, answer)
            answer.limits = await admission.of_principal(principal)
            needed = route.scope_for(scope["method"])
            if needed is not None and needed not in principal.scopes:
                raise InsufficientScope(needed)
            headers = with_token(headers, principal.token)
        onward = {**scope, "headers": headers}
        upstream = scope["state"]["upstreams"][route.service]
        await upstream.forward(onward, receive, answer.send, answer_timeout=self._upstream_timeout)

    async def _authenticated(self, scope: Scope, route: Route, answer: "_Answer") -> Principal:
        """Raises what is wrong with the credential; guesses count against the address, so RateLimited too."""
        authentication: Authentication = scope["state"]["authentication"]
        outcomes = scope["state"]["metrics"].authenticated
        try:
            principal = await authentication.principal_of(scope, api_key_header=route.api_key_header)
        except Unauthorized:
            outcomes["refused"].inc()
            answer.limits = await scope["state"]["admission"].of_stranger(scope)
            raise
        except Unavailable:
            outcomes["unavailable"].inc()
            raise
        outcomes["accepted"].inc()
        return principal


class _Answer:
    """How far the answer has come. What a service says to a body that was cut short is withheld: we cut it."""

    def __init__(self, send: Send, body: LimitedBody) -> None:
        self._send = send
        self._body = body
        self.started = False
        self.complete = False
        self.withheld = False
        self.limits: Headers = []
        """What the answer tells about rate limits."""

    async def refuse(self, error: DomainError, scope: Scope, receive: Receive) -> None:
        """Answers with the error instead."""
        self.withheld = False
        refusal = error_response(error, scope=scope)
        refusal.raw_headers.extend(self.limits)
        await refusal(scope, receive, self._send)

    async def send(self, message: Message) -> None:
        if self._body.exceeded and not self.started:
            self.withheld = True
            return
        if not self.started and self.limits:
            message = {**message, "headers": [*message.get("headers", ()), *self.limits]}
        self.started = True
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
        await self._send(message)
