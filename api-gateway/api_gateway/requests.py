"""What is refused before anyone looks at it, and what a request carries on."""

from starlette.types import Message, Receive, Scope

from shared.errors import ContentTooLarge, MalformedRequest
from shared.request_id import request_id_of

Headers = list[tuple[bytes, bytes]]

FORGEABLE = frozenset(
    {
        b"forwarded",
        b"remote-user",
        b"x-client-cert",
        b"x-organization-id",
        b"x-real-ip",
        b"x-remote-user",
        b"x-request-id",
        b"x-user-id",
    }
)
FORGEABLE_PREFIXES = (b"x-synapscale-", b"x-auth-", b"x-forwarded-")
"""Headers by which a client could pretend to be somebody, or to come from somewhere."""


def check_path(scope: Scope) -> None:
    """Raises MalformedRequest for a path that two readers could understand differently."""
    path, raw = scope["path"], scope.get("raw_path", b"").lower()
    if b"%2f" in raw or b"%5c" in raw or "\\" in path:
        raise MalformedRequest("The path contains an encoded slash or a backslash.")
    if "//" in path or any(segment in (".", "..") for segment in path.split("/")):
        raise MalformedRequest("The path contains an empty segment, '.' or '..'.")
    if any(character < " " or character == "\x7f" for character in path):
        raise MalformedRequest("The path contains a control character.")


def check_framing(scope: Scope) -> None:
    """Raises MalformedRequest where it is open to whom the request goes or where its body ends (RFC 9112 §6.3)."""
    names = [name for name, _ in scope["headers"]]
    if names.count(b"host") > 1:
        raise MalformedRequest("There is more than one Host header.")
    if names.count(b"content-length") > 1:
        raise MalformedRequest("There is more than one Content-Length header.")
    if b"content-length" in names and b"transfer-encoding" in names:
        raise MalformedRequest("There are both Content-Length and Transfer-Encoding.")


def headers_to_pass_on(scope: Scope) -> Headers:
    """The client's headers without those it could forge, and who it is and which request, as the gateway knows it."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in FORGEABLE and not name.startswith(FORGEABLE_PREFIXES)
    ]
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    client = scope.get("client")
    return [
        *kept,
        (b"x-request-id", request_id_of(scope).encode()),
        (b"x-forwarded-for", str(client[0]).encode() if client else b"unknown"),
        (b"x-forwarded-host", host),
        (b"x-forwarded-proto", scope["scheme"].encode()),
    ]


class LimitedBody:
    """A request's body as it arrives, up to `limit` bytes. `exceeded` says that there was more."""

    def __init__(self, receive: Receive, scope: Scope, *, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._received = 0
        self.too_large = ContentTooLarge(f"A request may have at most {limit} bytes.", limit=limit)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        self.exceeded = not declared.isdigit() or int(declared) > limit

    async def receive(self) -> Message:
        """Raises ContentTooLarge."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self.exceeded = self.exceeded or self._received > self._limit
        if self.exceeded:
            raise self.too_large
        return message
