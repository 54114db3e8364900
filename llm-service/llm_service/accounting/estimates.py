"""How many tokens a request may use, before anybody has counted: of its body, in whatever dialect."""

import re
from decimal import Decimal
from typing import Any

import msgspec

from llm_service.facts import Prices
from shared.events import Usage

BYTES_PER_TOKEN = 3
"""Of text in UTF-8. Tokenizers of today take 3.5 to 4.5 of English, code and Portuguese: so this is rather too many."""
TOKENS_PER_MEDIUM = 1600
"""An image of a usual size (Anthropic's page on vision: width x height / 750)."""
BYTES_PER_TOKEN_OF_MEDIA = 64
"""Of base64, for documents and audio, which have no size that could be told from outside."""
OVERHEAD = 16
"""Tokens of every message's frame."""
LONGEST_UNKNOWN = 16_384
"""Output tokens of a request that sets no limit, at a model of which nothing is known."""
LIMITS = ("max_completion_tokens", "max_tokens")
MEDIA = ("data", "file_data", "url")
"""Where a message has files, in base64 or by address."""
NO_MEDIA = frozenset({"tools", "functions", "tool_calls", "response_format", "output_config", "input"})
"""What has no files in it, whatever its members are called."""
LONGEST_MEDIA_TYPE = 256
NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=_\-]")


def estimated_tokens(body: Any) -> int:
    """Input tokens of a request."""
    match body:
        case str():
            return -(-len(body.encode(errors="replace")) // BYTES_PER_TOKEN)
        case list():
            return sum(estimated_tokens(each) + OVERHEAD for each in body)
        case dict():
            return sum(_of_member(name, value) for name, value in body.items())
        case _:
            return 1


def _of_member(name: str, value: Any) -> int:
    if name in MEDIA and isinstance(value, str):
        return max(TOKENS_PER_MEDIUM, _of_file(value))
    if name in NO_MEDIA:
        encoded = msgspec.json.encode(value)
        return max(-(-len(encoded) // BYTES_PER_TOKEN), encoded.count(b",") + 1)  # numbers of tokens may be short
    return estimated_tokens(value) + len(name) // BYTES_PER_TOKEN


def _of_file(value: str) -> int:
    """Text is none, though it stands where a file might: plain documents do."""
    head, _, inline = value.rpartition(";base64,")
    if len(head) > LONGEST_MEDIA_TYPE or NOT_BASE64.search(inline):
        return estimated_tokens(value)
    return len(inline) // BYTES_PER_TOKEN_OF_MEDIA


def most_output_tokens(body: dict[str, Any], *, longest: int | None) -> int:
    """Of all choices together; `longest` is the model's longest answer, if known."""
    given = [body[name] for name in LIMITS if type(body.get(name)) is int and body[name] > 0]
    most = max(given, default=longest or LONGEST_UNKNOWN)  # which of two a provider heeds is not known
    most = min(most, longest or most)
    return most * max(_whole(body.get("n")), _whole(body.get("best_of")))


def _whole(told: Any) -> int:
    """As a provider may read it that takes "50" or 50.0 for a number; at least 1."""
    try:
        return max(1, int(float(told)))
    except (TypeError, ValueError, OverflowError):
        return 1


def sets_output_limit(body: dict[str, Any]) -> bool:
    """Whether the client says how long an answer may be; some local servers take -1 for no end."""
    return any(type(body.get(name)) is int and body[name] > 0 for name in LIMITS)


def worst_cost(prices: Prices, *, input_tokens: int, output_tokens: int) -> Decimal:
    """US dollars, if all of the input is of the dearest kind, and all of the output."""
    kinds = (
        Usage(input_tokens=input_tokens, output_tokens=output_tokens),
        Usage(input_tokens=input_tokens, output_tokens=output_tokens, cache_write_tokens=input_tokens),
        Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_write_tokens=input_tokens,
            cache_write_1h_tokens=input_tokens,
        ),
        Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            input_audio_tokens=input_tokens,
            output_audio_tokens=output_tokens,
        ),
    )
    return max(prices.cost(usage) for usage in kinds)
