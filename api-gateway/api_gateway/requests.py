"""What is refused before anyone looks at it, and what a request carries on."""

import re

from starlette.types import Message, Receive, Scope

from api_gateway.tracing import trace_headers
from shared.errors import ContentTooLarge, HeadersTooLarge, MalformedRequest
from shared.http.forward import named_by_connection
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

TRACING = frozenset({b"traceparent", b"tracestate"})
FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
"""They are the next hop's to make, from what they say here."""
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
"""Less than `shared.connection` takes, so that a service takes what the gateway adds."""

_HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE)
_REFUSED = re.compile(rb"%2f|%5c|%3b|[\\;]|%25(2e|2f|5c|3b|25|00)", re.IGNORECASE)
"""Slashes and semicolons in disguise, and what would be a special character if somebody decoded it once more."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Ambiguous(MalformedRequest):
    """Where one request ends and the next begins is in doubt, so there is no next."""

    @property
    def headers(self) -> dict[str, str]:
        return {"connection": "close"}


def check_size(scope: Scope) -> None:
    """Raises HeadersTooLarge."""
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise HeadersTooLarge(f"A request may have {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together.")


def check_path(scope: Scope) -> None:
    """Raises MalformedRequest for a path that two readers could understand differently."""
    path, raw = scope["path"], scope.get("raw_path", b"")
    if _REFUSED.search(raw):
        raise MalformedRequest("The path contains a backslash, a semicolon or an encoded slash.")
    if "//" in path or any(segment in (".", "..") for segment in path.split("/")):
        raise MalformedRequest("The path contains an empty segment, '.' or '..'.")
    if _CONTROL.search(path) or "\ufffd" in path:  # the latter stands for bytes that are not UTF-8
        raise MalformedRequest("The path contains a control character, or is not UTF-8.")


def check_framing(scope: Scope) -> None:
    """Raises Ambiguous where it is open to whom the request goes or where its body ends (RFC 9112 §6.3)."""
    names = [name for name, _ in scope["headers"]]
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    codings = [value for name, value in scope["headers"] if name == b"transfer-encoding"]
    if len(hosts) > 1:
        raise Ambiguous("There is more than one Host header.")
    if not hosts and scope["http_version"] != "1.0":
        raise Ambiguous("There is no Host header.")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise Ambiguous("The Host header is not a host.")
    if names.count(b"content-length") > 1:
        raise Ambiguous("There is more than one Content-Length header.")
    if codings and b"content-length" in names:
        raise Ambiguous("There are both Content-Length and Transfer-Encoding.")
    if codings and (scope["http_version"] == "1.0" or [coding.lower() for coding in codings] != [b"chunked"]):
        raise Ambiguous("The only Transfer-Encoding is chunked, since HTTP/1.1.")


def headers_to_pass_on(scope: Scope) -> Headers:
    """The client's headers without those it could forge, and who it is and which request, as the gateway knows it.

    What its Connection header names ends here, so that it cannot take away what the gateway adds.
    """
    this_hop = named_by_connection(scope["headers"]) - FRAMING
    dropped = FORGEABLE | TRACING | this_hop | {b"connection"}
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in dropped and not name.startswith(FORGEABLE_PREFIXES)
    ]
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    client = scope.get("client")
    return [
        *kept,
        *trace_headers(scope),
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
