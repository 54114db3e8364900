"""Which passwords are too easily guessed: too short, common in breaches, or built on a common word or the username."""

import lzma
from functools import cache
from importlib.resources import files

from auth_service.users.errors import (
    PasswordHoldsUsername,
    PasswordTooCommon,
    PasswordTooLong,
    PasswordTooShort,
    PasswordTooSimple,
)
from auth_service.users.names import normalized

SHORTEST = 12
LONGEST = 256
FEWEST_DIFFERENT = 5
SHORTEST_WORD = 4
"""Characters: a username or a common word of fewer is found in too many good passwords."""
LONGEST_PADDING = 6
"""Characters around a common word that add next to nothing; more add nothing where they are common themselves."""
DIGITS = "01234567890123456789"


def check_password(password: str, *, username: str) -> None:
    """Raises an UnacceptablePassword that says which rule it breaks. Upper and lower case are the same here."""
    if len(password) < SHORTEST:
        raise PasswordTooShort(SHORTEST)
    if len(password) > LONGEST:
        raise PasswordTooLong(LONGEST)
    plain = normalized(password)
    if len(set(plain)) < FEWEST_DIFFERENT:
        raise PasswordTooSimple(FEWEST_DIFFERENT)
    if any(len(name) >= SHORTEST_WORD and name in plain for name in (username, username.partition("@")[0])):
        raise PasswordHoldsUsername
    if is_common(plain):
        raise PasswordTooCommon


def is_common(plain: str) -> bool:
    """Whether the normalised password is on the list, or is a word of the list that is padded or repeated."""
    return _is_listed(plain) or _is_repeated(plain) or _is_padded(plain)


def _is_repeated(plain: str) -> bool:
    """`passwordpassword`: a unit, again and again, that is short or common; the last one may be cut."""
    for length in range(1, len(plain) // 2 + 1):
        unit = plain[:length]
        if (unit * (len(plain) // length + 1)).startswith(plain):
            return length <= LONGEST_PADDING or _is_listed(unit) or _is_padded(unit)
    return False


def _is_padded(plain: str) -> bool:
    """`!!password2026`, `password1234567890`, `passworddddd`: digits and signs around a word, or its last letter."""
    front = 0
    while front < len(plain) and not plain[front].isalpha():
        front += 1
    word = plain[front:]
    end = len(word)
    while end and not word[end - 1].isalpha():
        end -= 1
    before, word, after = plain[:front], word[:end], word[end:]
    if not (_is_trivial(before) and _is_trivial(after)):
        return False
    stretched = word.rstrip(word[-1:])
    return any(_is_word(each) for each in (word, stretched, stretched + word[-1:]))


def _is_word(word: str) -> bool:
    if len(word) < SHORTEST_WORD:
        return False
    half, odd = divmod(len(word), 2)
    return _is_listed(word) or (not odd and word[:half] == word[half:] and _is_listed(word[:half]))


def _is_trivial(padding: str) -> bool:
    if len(padding) <= LONGEST_PADDING or len(set(padding)) <= 2:
        return True
    return padding in DIGITS or padding in DIGITS[::-1] or _is_listed(padding)


def _is_listed(word: str) -> bool:
    return "\n" not in word and f"\n{word}\n".encode() in _common_passwords()


@cache
def _common_passwords() -> bytes:
    """Sorted lines (see common_passwords.md) in one piece: a set of them would take ten times the memory."""
    return lzma.decompress(files("auth_service.users").joinpath("common_passwords.txt.xz").read_bytes())
