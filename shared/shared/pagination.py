"""Keyset pages: `?limit=` (1–100, default 20) and `?cursor=`; a page costs the same wherever it lies."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from shared.errors import MalformedRequest

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=512)]

DEFAULT_LIMIT = 20


class Page(BaseModel, Generic[T]):
    """One page; `next_cursor` is null on the last."""

    data: list[T]
    next_cursor: str | None = None


def encode_cursor(*key: str) -> str:
    return base64.urlsafe_b64encode("\n".join(key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *, parts: int) -> Sequence[str]:
    """Raises MalformedRequest for anything that `encode_cursor` did not make."""
    try:
        key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split("\n")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        key = []
    if len(key) != parts or any("\0" in part for part in key):
        raise MalformedRequest("The cursor is not one that this API gave out.")
    return key
