"""The form of an API key: `sk-syn-`, 256 random bits, a checksum. A mistyped one is refused before anybody is asked."""

import re
import secrets
import string
import zlib

PREFIX = "sk-syn-"

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 43  # 62**43 > 2**256
_CHECKSUM_LENGTH = 6  # 62**6 > 2**32
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}")


def new_api_key() -> str:
    """56 characters: prefix, 256 random bits in base 62, and the CRC-32 of both in base 62."""
    unchecked = PREFIX + _in_base62(secrets.randbits(256), _RANDOM_LENGTH)
    return unchecked + _checksum(unchecked)


def is_api_key(text: str) -> bool:
    """Whether `new_api_key` could have made it. One changed character, or a burst of four, is always noticed."""
    if not _FORM.fullmatch(text):
        return False
    return _checksum(text[:-_CHECKSUM_LENGTH]) == text[-_CHECKSUM_LENGTH:]


def _checksum(unchecked: str) -> str:
    return _in_base62(zlib.crc32(unchecked.encode()), _CHECKSUM_LENGTH)


def _in_base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
