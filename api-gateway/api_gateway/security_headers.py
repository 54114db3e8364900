"""What every answer tells a browser: guess no types, show it in no frame, load nothing."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTHING = b"default-src 'none'; frame-ancestors 'none'"
DOCS = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Swagger UI's page has its script inline, and its files come from here."""
ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
HSTS = (b"strict-transport-security", b"max-age=31536000")
TELLTALE = frozenset({b"server", b"x-powered-by"})


class SecurityHeadersMiddleware:
    """Adds what a service did not set itself, and drops what tells which software answers."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        headers = [*ALWAYS, HSTS] if https else ALWAYS
        self._headers = [*headers, (b"content-security-policy", NOTHING)]
        self._docs_headers = [*headers, (b"content-security-policy", DOCS)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        ours = self._docs_headers if path == "/docs" or path.startswith("/docs/") else self._headers

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                theirs = [header for header in message.get("headers", ()) if header[0] not in TELLTALE]
                present = {name for name, _ in theirs}
                message = {**message, "headers": [*theirs, *(one for one in ours if one[0] not in present)]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
