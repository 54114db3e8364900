"""What is refused before anyone looks at it, and what a request carries on."""

import re
from functools import lru_cache

from starlette.types import Message, Receive, Scope

from api_gateway.tracing import trace_headers
from shared.auth import Principal
from shared.errors import ContentTooLarge, HeadersTooLarge, MalformedRequest
from shared.http.forward import HOP_BY_HOP, named_by_connection
from shared.outgoing import Outgoing
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

API_KEY = b"x-api-key"
CREDENTIALS = frozenset({b"authorization", API_KEY})
PROTOCOL = (b"anthropic-version", b"2023-06-01")
"""What tells services that a client speaks Anthropic's protocol, and its only version."""
TRACING = frozenset({b"traceparent", b"tracestate"})
FRAMING = frozenset({b"content-length", b"transfer-encoding"})
"""They are the next hop's to make, from what they say here."""
ENDS_HERE = FORGEABLE | TRACING | HOP_BY_HOP | {b"host", b"date"}
READ_HERE = ENDS_HERE | CREDENTIALS | FRAMING
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


class RequestHead:
    """A request's headers, read in one pass: the gateway asks much of them, and nothing twice."""

    __slots__ = ("_codings", "_framing", "_hosts", "_lengths", "_named", "_on", "_scope", "credentials")

    def __init__(self, scope: Scope) -> None:
        """Raises HeadersTooLarge."""
        self._scope = scope
        self._hosts: list[bytes] = []
        self._lengths: list[bytes] = []
        self._codings: list[bytes] = []
        self._framing: Headers = []
        self._named: set[bytes] = set()
        self._on: Headers = []
        self.credentials: Headers = []
        """Every credential that it shows, by the header that it is in."""
        headers: Headers = scope["headers"]
        for header in headers:
            name, value = header
            if name not in READ_HERE:
                if not (name.startswith(b"x-") and name.startswith(FORGEABLE_PREFIXES)):
                    self._on.append(header)
            elif name in CREDENTIALS:
                self.credentials.append(header)
            elif name == b"host":
                self._hosts.append(value)
            elif name == b"content-length":
                self._lengths.append(value)
                self._framing.append(header)
            elif name == b"transfer-encoding":
                self._codings.append(value)
                self._framing.append(header)
            elif name == b"connection":
                self._named |= named_by_connection([header])
        if len(headers) > MAX_HEADERS or sum(map(len, map(b"".join, headers))) > MAX_HEADER_BYTES:
            raise HeadersTooLarge(f"A request may have {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together.")

    @property
    def length(self) -> bytes:
        """Of the body, as the client declares it."""
        return self._lengths[0] if self._lengths else b"0"

    def check_framing(self) -> None:
        """Raises Ambiguous where it is open to whom the request goes or where its body ends (RFC 9112 §6.3)."""
        hosts, codings = self._hosts, self._codings
        if len(hosts) > 1:
            raise Ambiguous("There is more than one Host header.")
        if not hosts and self._scope["http_version"] != "1.0":
            raise Ambiguous("There is no Host header.")
        if hosts and not _is_host(hosts[0]):
            raise Ambiguous("The Host header is not a host.")
        if len(self._lengths) > 1:
            raise Ambiguous("There is more than one Content-Length header.")
        if codings and self._lengths:
            raise Ambiguous("There are both Content-Length and Transfer-Encoding.")
        if codings and (self._scope["http_version"] == "1.0" or [one.lower() for one in codings] != [b"chunked"]):
            raise Ambiguous("The only Transfer-Encoding is chunked, since HTTP/1.1.")

    def to_pass_on(self, principal: Principal | None) -> Headers:
        """The client's headers without those it could forge and those of this hop, and who it is and which request, as
        the gateway knows it; whatever credential the client showed, what is behind sees the principal's token alone.

        What its Connection header names ends here, so that it cannot take away what the gateway adds.
        """
        scope, client = self._scope, self._scope.get("client")
        host = self._hosts[0] if self._hosts else b""
        on = self._on if principal is not None else [*self._on, *self.credentials]
        if self._named:
            on = [header for header in on if header[0] not in self._named]
        headers = [
            (b"host", host),
            *on,
            *self._framing,
            *trace_headers(scope),
            (b"x-request-id", request_id_of(scope).encode()),
            (b"x-forwarded-for", str(client[0]).encode() if client else b"unknown"),
            (b"x-forwarded-host", host),
            (b"x-forwarded-proto", scope["scheme"].encode()),
        ]
        if principal is not None:
            headers.append((b"authorization", principal.authorization))
            if API_KEY in dict(self.credentials):
                headers += self._as_anthropics_clients(on)
        return headers

    def _as_anthropics_clients(self, on: Headers) -> Headers:
        """Whose key is in that header speaks their protocol; the header ends here, so that it is said otherwise."""
        return [] if any(name == PROTOCOL[0] for name, _ in on) else [PROTOCOL]


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def check_path(scope: Scope) -> None:
    """Raises MalformedRequest for a path that two readers could understand differently."""
    if problem := _path_problem(scope["path"], scope.get("raw_path", b"")):
        raise MalformedRequest(problem)


@lru_cache(maxsize=1024)
def _path_problem(path: str, raw: bytes) -> str | None:
    if _REFUSED.search(raw):
        return "The path contains a backslash, a semicolon or an encoded slash."
    if "//" in path or any(segment in (".", "..") for segment in path.split("/")):
        return "The path contains an empty segment, '.' or '..'."
    if _CONTROL.search(path) or "\ufffd" in path:  # the latter stands for bytes that are not UTF-8
        return "The path contains a control character, or is not UTF-8."
    return None


class LimitedBody:
    """A request's body as it arrives, up to `limit` bytes; what the service says to a body that was cut short is
    kept back."""

    __slots__ = ("_answer", "_limit", "_receive", "_received")

    def __init__(self, receive: Receive, *, limit: int, declared: bytes, answer: Outgoing) -> None:
        """`declared` is its length as the client says it, in digits. Raises ContentTooLarge."""
        self._receive = receive
        self._limit = limit
        self._received = 0
        self._answer = answer
        if not declared.isdigit() or int(declared) > limit:
            raise self.too_large

    @property
    def too_large(self) -> ContentTooLarge:
        return ContentTooLarge(f"A request may have at most {self._limit} bytes.", limit=self._limit)

    async def receive(self) -> Message:
        """Raises ContentTooLarge."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            self._answer.void = True
            raise self.too_large
        return message
