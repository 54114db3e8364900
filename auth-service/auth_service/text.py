"""Text that clients send, in the shapes that this service takes."""

import re
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from auth_service.users.names import normalized

LONGEST_LINE = 100
LONGEST_USERNAME = 64
LONGEST_EMAIL = 254
"""RFC 5321 §4.5.3.1.3, less the angle brackets."""
LONGEST_PASSWORD = 1024
"""Characters that are read: the policy refuses far shorter ones, in its own words."""

_USERNAME = re.compile(r"\w[\w.@+-]*")
_ID = re.compile(r"[a-z]+_[0-9a-f]{32}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


class Body(BaseModel):
    """What a client writes: a member that nobody asked for is a mistake, not to be passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


def line(value: str) -> str:
    value = value.strip()
    if not value or not value.isprintable():
        raise ValueError("must be one line of printable characters")
    return value


def _username(value: str) -> str:
    name = normalized(value)
    if not 2 <= len(name) <= LONGEST_USERNAME or not _USERNAME.fullmatch(name) or _ID.fullmatch(name):
        raise ValueError(f"must have 2 to {LONGEST_USERNAME} letters, digits and . _ - @ +, and begin with a letter")
    return name


def _email(value: str) -> str:
    address = normalized(value)
    if len(address) > LONGEST_EMAIL or not address.isprintable() or not _EMAIL.fullmatch(address):
        raise ValueError("must be an e-mail address")
    return address


Line = Annotated[str, Field(min_length=1, max_length=LONGEST_LINE), AfterValidator(line)]
Username = Annotated[str, Field(min_length=2, max_length=128), AfterValidator(_username)]
"""Normalised: `names.normalized`."""
Email = Annotated[str, Field(min_length=3, max_length=LONGEST_EMAIL), AfterValidator(_email)]
"""Normalised: `names.normalized`."""
Password = Annotated[str, Field(min_length=1, max_length=LONGEST_PASSWORD)]
"""Say `Field(repr=False)` beside it."""
Id = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
AnyId = Annotated[str, Path(json_schema_extra={"maxLength": 64, "pattern": "^[A-Za-z0-9_-]+$"})]
"""Documented as `Id`, but what looks otherwise is as unknown as any other: 404."""
