"""What every answer tells a browser: guess no types, show it in no frame, load nothing."""

from collections.abc import Iterable

Header = tuple[bytes, bytes]

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


class SecurityHeaders:
    """Adds what a service did not set itself, and drops what tells which software answers."""

    def __init__(self, *, https: bool) -> None:
        headers = [*ALWAYS, HSTS] if https else ALWAYS
        self._headers = [*headers, (b"content-security-policy", NOTHING)]
        self._docs_headers = [*headers, (b"content-security-policy", DOCS)]

    def added_to(self, theirs: Iterable[Header], *, path: str) -> list[Header]:
        ours = self._docs_headers if path == "/docs" or path.startswith("/docs/") else self._headers
        answer = list(theirs)
        present = {name for name, _ in answer}
        if not TELLTALE.isdisjoint(present):
            answer = [header for header in answer if header[0] not in TELLTALE]
        for header in ours:
            if header[0] not in present:
                answer.append(header)
        return answer
