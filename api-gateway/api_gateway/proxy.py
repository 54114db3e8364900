"""Passes requests on to the services: pure ASGI, bytes both ways, nothing held."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_gateway.requests import check_framing, check_path, headers_to_pass_on, limited
from api_gateway.upstreams import Route, find_route
from shared.errors import DomainError, error_response

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
            check_path(scope)
            check_framing(scope)
            if route := find_route(scope["path"]):
                await self._forward(route, scope, receive, answer.send)
            else:
                await self._app(scope, limited(receive, scope, limit=self._max_body_bytes), answer.send)
        except DomainError as error:
            if answer.started:
                raise  # the server breaks the connection off: half an answer must not look whole
            await error_response(error, scope=scope)(scope, receive, send)
        except Exception:
            if not answer.complete:
                raise
            log.exception("the service failed after its answer", path=scope["path"])

    async def _forward(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        receive = limited(receive, scope, limit=self._max_body_bytes)
        if not route.public:
            await scope["state"]["authentication"].principal_of(scope)
        onward = {**scope, "headers": headers_to_pass_on(scope)}
        upstream = scope["state"]["upstreams"][route.service]
        await upstream.forward(onward, receive, send, answer_timeout=self._upstream_timeout)


class _Answer:
    """How far the answer has come."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.complete = False

    async def send(self, message: Message) -> None:
        self.started = True
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
        await self._send(message)
