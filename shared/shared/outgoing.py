"""An answer on its way out. All layers of a request share one: a message passes one wrapper, not one of each layer,
of which each takes 0.6 µs."""

from collections.abc import Awaitable, Callable

from starlette.types import Message, Send

Headers = list[tuple[bytes, bytes]]

OUTGOING = "synapscale.outgoing"
"""Where in its scope a request has its answer's Outgoing, from `shared.request_id.RequestIdMiddleware` on."""


class Outgoing:
    """How far an answer has come, and what its head tells beside what its author wrote. That is completed here alone:
    the request's id, what layers have put into `told`, and what `dressed` makes of it."""

    __slots__ = ("_named", "_send", "complete", "dressed", "status", "told", "void")

    def __init__(self, send: Send, *, request_id: str) -> None:
        self._send = send
        self._named = (b"x-request-id", request_id.encode())
        self.status = 0
        """0 while it has not begun."""
        self.complete = False
        self.told: Headers = []
        self.dressed: Callable[[Headers], Headers] | None = None
        self.void = False
        """Whether an answer that has not begun is kept from beginning: another will take its place."""

    @property
    def withheld(self) -> bool:
        return self.void and not self.status

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI's."""
        if message["type"] == "http.response.start":
            if self.void:
                return _nothing()
            self.status = message["status"]
            message["headers"] = self._completed([*message.get("headers", ()), *self.told])
        elif self.void and not self.status:
            return _nothing()
        elif not message.get("more_body", False):
            self.complete = True
        return self._send(message)

    def _completed(self, headers: Headers) -> Headers:
        if b"x-request-id" in dict(headers):
            headers = [header for header in headers if header[0] != b"x-request-id"]
        headers.append(self._named)
        return headers if self.dressed is None else self.dressed(headers)


async def _nothing() -> None:
    pass
