"""Usernames and e-mail addresses in one form, however they are typed."""

import unicodedata


def normalized(name: str) -> str:
    """NFKC, case-folded, without white space around it (RFC 8265 §3.3, less its restrictions)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
