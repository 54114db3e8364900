"""What is refused before anyone looks at it, and what a request carries on."""

import re
from functools import lru_cache

from starlette.types import Message, Receive, Scope

from api_gateway.tracing import trace_headers
from shared.errors import ContentTooLarge, HeadersTooLarge, MalformedRequest
from shared.http.forward import HOP_BY_HOP, named_by_connection
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

    __slots__ = ("_codings", "_hosts", "_lengths", "_named", "_on", "_scope", "credentials")

    def __init__(self, scope: Scope) -> None:
        """Raises HeadersTooLarge."""
        self._scope = scope
        self._hosts: list[bytes] = []
        self._lengths: list[bytes] = []
        self._codings: list[bytes] = []
        self._named: set[bytes] = set()
        self._on: Headers = []
        self.credentials: Headers = []
        """Every credential that it shows, by the header that it is in."""
        headers: Headers = scope["headers"]
        size = 0
        for name, value in headers:
            size += len(name) + len(value)
            if name in CREDENTIALS:
                self.credentials.append((name, value))
            elif name not in ENDS_HERE:
                if name == b"content-length":
                    self._lengths.append(value)
                elif not name.startswith(b"x-") or not name.startswith(FORGEABLE_PREFIXES):
                    self._on.append((name, value))
            elif name == b"host":
                self._hosts.append(value)
            elif name == b"connection":
                self._named |= named_by_connection([(name, value)])
            elif name == b"transfer-encoding":
                self._codings.append(value)
        if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
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

    def to_pass_on(self, *, token: str | None = None) -> Headers:
        """The client's headers without those it could forge and those of this hop, and who it is and which request, as
        the gateway knows it; whatever credential the client showed, what is behind sees `token` alone.

        What its Connection header names ends here, so that it cannot take away what the gateway adds.
        """
        scope, client = self._scope, self._scope.get("client")
        host = self._hosts[0] if self._hosts else b""
        on = [*self._on, *self.credentials] if token is None else self._on
        if self._named:
            on = [(name, value) for name, value in on if name not in self._named]
        credential = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
        if token is not None and any(name == API_KEY for name, _ in self.credentials):
            credential += self._as_anthropics_clients(on)
        return [
            (b"host", host),
            *on,
            *[(b"content-length", value) for value in self._lengths],
            *[(b"transfer-encoding", value) for value in self._codings],
            *credential,
            *trace_headers(scope),
            (b"x-request-id", request_id_of(scope).encode()),
            (b"x-forwarded-for", str(client[0]).encode() if client else b"unknown"),
            (b"x-forwarded-host", host),
            (b"x-forwarded-proto", scope["scheme"].encode()),
        ]

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
    """A request's body as it arrives, up to `limit` bytes. `exceeded` says that there was more."""

    __slots__ = ("_limit", "_receive", "_received", "exceeded")

    def __init__(self, receive: Receive, *, limit: int, declared: bytes) -> None:
        """`declared` is its length as the client says it, in digits."""
        self._receive = receive
        self._limit = limit
        self._received = 0
        self.exceeded = not declared.isdigit() or int(declared) > limit

    @property
    def too_large(self) -> ContentTooLarge:
        return ContentTooLarge(f"A request may have at most {self._limit} bytes.", limit=self._limit)

    async def receive(self) -> Message:
        """Raises ContentTooLarge."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            self.exceeded = True
        if self.exceeded:
            raise self.too_large
        return message
