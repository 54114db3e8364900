"""What every service is assembled from, so that a service's own `main.py` says only what is its own."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import __version__, health
from shared.error_docs import PROBLEM_DOCS, SCHEMAS
from shared.errors import install_error_handlers
from shared.logs import configure_logs
from shared.outgoing import OUTGOING
from shared.request_id import REQUEST_ID, RequestIdMiddleware
from shared.settings import ServiceSettings
from shared.upstreams import Upstreams

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]

LOOK_FOR_OBSERVERS_EVERY = 1.0
"""Seconds. FastAPI looks for them at every request, in the environment, for as long as all our own work takes."""


class Service(FastAPI):
    """Its OpenAPI document knows how errors look.

    While nobody observes, a request goes past the three outermost layers of the frameworks, which take 6 µs of it: two
    of them do nothing for us, and what the third does is said here once more.
    """

    _short: RequestIdMiddleware | None = None
    _observed = True
    _look_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if time.monotonic() >= self._look_at:
            self._look_for_observers()
        short = self._short
        if short is None or self._observed or scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        if REQUEST_ID in scope:  # another service of this process passes it on, and tells what is unexpected
            await short.app(scope, receive, send)
            return
        try:
            await short(scope, receive, send)
        except Exception as error:
            answer: Response = await self.exception_handlers[Exception](Request(scope), error)  # type: ignore[misc]
            if not scope[OUTGOING].status:
                await answer(scope, receive, scope[OUTGOING].send)
            raise  # the server closes the connection

    def build_middleware_stack(self) -> ASGIApp:
        """The frameworks' own, whose part from our outermost layer on is the short road."""
        stack: Any = super().build_middleware_stack()
        outermost: Any = self.user_middleware[0].cls
        if outermost is RequestIdMiddleware:  # nobody has put a layer in front of it
            first = stack
            while not isinstance(first, RequestIdMiddleware):
                first = first.app
            self._short = first
        built: ASGIApp = stack
        return built

    def _look_for_observers(self) -> None:
        """Whether OpenTelemetry is set up in this process, as `opentelemetry-instrument` does."""
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        self._look_at = time.monotonic() + LOOK_FOR_OBSERVERS_EVERY
        self._observed = self._native_telemetry.enabled()

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        components = document.setdefault("components", {})
        components["schemas"] = {**components.get("schemas", {}), **SCHEMAS}
        return document


def create_service(
    name: str,
    *,
    summary: str,
    settings: ServiceSettings,
    lifespan: Lifespan,
    routers: Sequence[APIRouter],
    health_router: APIRouter = health.router,
    openapi_url: str | None = "/openapi.json",
    middleware: Sequence[Middleware] = (),
) -> FastAPI:
    """A FastAPI app with health, problem+json errors and request ids; `middleware` is outermost first.

    `app.state.upstreams` is where it finds the other services; the launcher replaces it before the start when they
    run in the same process.
    """
    configure_logs(level=settings.log_level, style=settings.log_format)
    app = Service(
        title=name,
        responses=PROBLEM_DOCS,
        summary=summary,
        version=__version__,
        lifespan=lifespan,
        openapi_url=openapi_url,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name the address that the service has, not the gateway's
        swagger_ui_oauth2_redirect_url=None,
        middleware=[Middleware(RequestIdMiddleware, service=name), *middleware],
    )
    app.state.upstreams = Upstreams.from_settings(settings)
    for router in (*routers, health_router):
        app.include_router(router)
    install_error_handlers(app)
    return app
