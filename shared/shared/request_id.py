"""Every request has an id: the client's own if it is well formed, else a new one; every answer carries it."""

import re
import time
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.ids import new_id

log = structlog.get_logger("access")

_WELL_FORMED = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_QUIET_PATHS = ("/health", "/internal/auth/revocations")
"""What is asked every few seconds for ever."""


def request_id_of(scope: Mapping[str, Any]) -> str:
    return str(scope.get("synapscale.request_id", ""))


def current_request_id() -> str:
    """Of the request that this task works for; empty outside of one."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


class RequestIdMiddleware:
    """Pure ASGI: names the request, and writes one access line."""

    def __init__(self, app: ASGIApp, *, service: str) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _given(scope) or new_id("req")
        scope["synapscale.request_id"] = request_id
        started = time.perf_counter()
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id, service=self.service):
            try:
                await self.app(scope, receive, send_named)
            finally:
                if not scope["path"].startswith(_QUIET_PATHS):
                    milliseconds = round((time.perf_counter() - started) * 1000, 1)
                    log.info("request", method=scope["method"], path=scope["path"], status=status, ms=milliseconds)


def _given(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _WELL_FORMED.fullmatch(value):
            return str(value.decode())
    return None
