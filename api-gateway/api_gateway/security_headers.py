"""What every answer tells a browser: guess no types, show it in no frame, load nothing."""

from collections.abc import Callable

Headers = list[tuple[bytes, bytes]]

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
        always = [*ALWAYS, HSTS] if https else ALWAYS
        self._plain = _Dress([*always, (b"content-security-policy", NOTHING)]).added_to
        self._docs = _Dress([*always, (b"content-security-policy", DOCS)]).added_to

    def for_path(self, path: str) -> Callable[[Headers], Headers]:
        """What makes of an answer's headers those that it goes out with."""
        return self._docs if path.startswith("/docs") and path[5:6] in ("", "/") else self._plain


class _Dress:
    def __init__(self, ours: Headers) -> None:
        self._ours = ours
        self._special = TELLTALE.union([name for name, _ in ours])

    def added_to(self, theirs: Headers) -> Headers:
        present = dict(theirs)
        if self._special.isdisjoint(present):  # nearly always
            return [*theirs, *self._ours]
        kept = [header for header in theirs if header[0] not in TELLTALE]
        return [*kept, *[header for header in self._ours if header[0] not in present]]
