"""What all dialects say alike of answers that are none."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llm_service.errors import Kind, ProviderError

LONGEST_EXCERPT = 200
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def json_object(data: str | bytes) -> dict[str, Any] | None:
    """None where it is none, whatever else a server may have sent."""
    try:
        return _OBJECT.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def kind_of_status(status: int, kinds: Mapping[int, Kind]) -> Kind:
    """By `kinds`, and for statuses that are not in it by their class: 4xx is the request's fault, 5xx the server's."""
    if status < 400:
        return Kind.INVALID_ANSWER
    return kinds.get(status, Kind.SERVER if status >= 500 else Kind.BAD_REQUEST)


def unreadable(data: str | bytes) -> ProviderError:
    """What should have been an answer, or a piece of one."""
    return ProviderError(Kind.INVALID_ANSWER, f"The provider sent something that is no answer: {excerpt(data)}")


def excerpt(data: str | bytes) -> str:
    """Its beginning, in one line."""
    start = data[: 4 * LONGEST_EXCERPT]
    text = " ".join((start if isinstance(start, str) else start.decode(errors="replace")).split())
    return repr(text if len(text) <= LONGEST_EXCERPT else text[:LONGEST_EXCERPT] + "…")
