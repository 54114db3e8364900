"""Every request has an id: the client's own if it is well formed, else a new one; every answer carries it."""

import re
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.access import Access, access_log
from shared.ids import new_id
from shared.logs import request_at_hand
from shared.outgoing import OUTGOING, Headers, Outgoing

REQUEST_ID = "synapscale.request_id"
"""Where in its scope a request's id is."""

_WELL_FORMED = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_QUIET_PATHS = ("/health", "/internal/auth/revocations")
"""What is asked every few seconds for ever."""


def request_id_of(scope: Mapping[str, Any]) -> str:
    return str(scope.get(REQUEST_ID, ""))


def current_request_id() -> str:
    """Of the request that this task works for; empty outside of one."""
    return request_at_hand.get()[0]


class RequestIdMiddleware:
    """Pure ASGI: names the request, and writes one access line; not where another service of this process has done
    so already and passes the request on.
    """

    def __init__(self, app: ASGIApp, *, service: str) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or REQUEST_ID in scope:
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        scope[REQUEST_ID] = request_id = _given(scope["headers"]) or new_id("req")
        scope[OUTGOING] = outgoing = Outgoing(send, request_id=request_id)
        path, service = scope["path"], self.service
        outer = request_at_hand.set((request_id, service))
        try:
            await self.app(scope, receive, outgoing.send)
        finally:
            request_at_hand.reset(outer)
            if access_log.wanted and not path.startswith(_QUIET_PATHS):
                ms = round((time.perf_counter() - started) * 1000, 1)
                access_log.add(Access(request_id, service, scope["method"], path, outgoing.status, ms, time.time()))


def _given(headers: Headers) -> str | None:
    for name, value in headers:
        if name == b"x-request-id" and _WELL_FORMED.fullmatch(value):
            return value.decode()
    return None
