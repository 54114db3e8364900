"""Identifiers that look random and are the same in every run."""

import hashlib

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def token(prefix: str, *seed: int, length: int, letters: str = _LETTERS) -> str:
    """`prefix` and `length` letters that look random and follow from `seed`; at most 40 of them."""
    number = int.from_bytes(hashlib.sha256(repr((prefix, seed)).encode()).digest())
    drawn = []
    for _ in range(length):
        number, at = divmod(number, len(letters))
        drawn.append(letters[at])
    return prefix + "".join(drawn)
