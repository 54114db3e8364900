"""A short way to the routes that are asked most: past the router and its dependency graph."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.errors import DomainError, error_response

Road = Callable[[Request], Awaitable[Response]]


class Express:
    """Takes requests whose method and path are in `roads` there at once, and all others on to `app`.

    `app` has the same routes, for the document and for whoever calls it without this: their functions are what the
    roads call.
    """

    def __init__(self, app: ASGIApp, *, roads: Mapping[tuple[str, str], Road]) -> None:
        self._app = app
        self._roads = roads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        road = self._roads.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if road is None:
            await self._app(scope, receive, send)
            return
        try:
            answer = await road(Request(scope, receive))
            await answer(scope, receive, send)
        except DomainError as error:
            await error_response(error, scope=scope)(scope, receive, send)
