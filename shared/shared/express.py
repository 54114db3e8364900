"""A short way to the routes that are asked most: past the router, its dependency graph and its answers' classes."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.disconnect import ClientLeft
from shared.errors import DomainError, error_response

Road = Callable[[Request], Awaitable[Response]]


class Express:
    """Takes requests whose method and path are in `roads` there at once, and all others on to `app`.

    `app` has the same routes, for the document and for whoever calls it without this: their functions are what the
    roads call. Errors are told as it tells them.
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
        except Exception as error:
            handlers = scope["app"].exception_handlers
            known = [kind for kind in type(error).__mro__ if kind in handlers and kind is not Exception]
            if not known:
                raise
            await (await handlers[known[0]](Request(scope, receive), error))(scope, receive, send)


async def body_of(receive: Receive) -> bytes:
    """A request's whole body. Raises ClientLeft."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            return b"".join([*pieces, piece]) if pieces else piece
        pieces.append(piece)


class Whole(Response):
    """A JSON answer that is there: its head is what Response would find out, written down."""

    def __init__(self, body: bytes, *, headers: Mapping[str, str]) -> None:
        """`headers` in small letters."""
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        ]
