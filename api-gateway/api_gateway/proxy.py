"""Passes requests on to the services: pure ASGI, bytes both ways, nothing held."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_gateway.authentication import Authentication
from api_gateway.metrics import Metrics
from api_gateway.requests import Headers, LimitedBody, RequestHead, check_path
from api_gateway.upstreams import LARGEST_BODIES, Route, find_route
from shared.auth import Principal
from shared.errors import DomainError, InsufficientScope, Unauthorized, Unavailable, error_response
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
        answer = _Answer(send)
        try:
            head = RequestHead(scope)
            check_path(scope)
            head.check_framing()
            route = find_route(scope["path"])
            answer.body = body = LimitedBody(receive, limit=self._largest_body(route), declared=head.length)
            if body.exceeded:
                raise body.too_large
            await self._pass_on(scope, head, body.receive, answer, route=route)
        except DomainError as error:
            if answer.started:
                raise  # the server breaks the connection off: half an answer must not look whole
            await answer.refuse(error, scope, receive)
        except Exception:
            if not (answer.complete or answer.withheld):
                raise
            log.exception("the service failed after its answer", path=scope["path"])
        if answer.withheld and answer.body is not None:
            await answer.refuse(answer.body.too_large, scope, receive)

    def _largest_body(self, route: Route | None) -> int:
        """In bytes."""
        most = LARGEST_BODIES.get(route.service) if route else None
        return self._max_body_bytes if most is None else min(most, self._max_body_bytes)

    async def _pass_on(
        self, scope: Scope, head: RequestHead, receive: Receive, answer: "_Answer", *, route: Route | None
    ) -> None:
        state = scope["state"]
        if route is None or route.public:
            answer.limits = await state["admission"].of_stranger(scope)
        if route is None:
            await self._app(scope, receive, answer.send)
            return
        token = None
        if not route.public:
            principal = await self._authenticated(scope, head, route, answer)
            answer.limits = await state["admission"].of_principal(principal)
            needed = route.scope_for(scope["method"])
            if needed is not None and needed not in principal.scopes:
                raise InsufficientScope(needed)
            token = principal.token
        onward = {**scope, "headers": head.to_pass_on(token=token)}
        upstream: Upstream = state["upstreams"][route.service]
        await upstream.forward(onward, receive, answer.send, answer_timeout=self._upstream_timeout)

    async def _authenticated(self, scope: Scope, head: RequestHead, route: Route, answer: "_Answer") -> Principal:
        """Raises what is wrong with the credential; guesses count against the address, so RateLimited too."""
        state = scope["state"]
        authentication: Authentication = state["authentication"]
        metrics: Metrics = state["metrics"]
        try:
            principal = await authentication.principal_of(head.credentials, api_key_header=route.api_key_header)
        except Unauthorized:
            metrics.authenticated["refused"] += 1
            answer.limits = await state["admission"].of_stranger(scope)
            raise
        except Unavailable:
            metrics.authenticated["unavailable"] += 1
            raise
        metrics.authenticated["accepted"] += 1
        return principal


class _Answer:
    """How far the answer has come. What a service says to a body that was cut short is withheld: we cut it."""

    __slots__ = ("_send", "body", "complete", "limits", "started", "withheld")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.body: LimitedBody | None = None
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
        if not self.started:
            if self.body is not None and self.body.exceeded:
                self.withheld = True
                return
            if self.limits:
                message["headers"] = [*message.get("headers", ()), *self.limits]
            self.started = True
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
        await self._send(message)
