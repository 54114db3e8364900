"""How many tokens a text, and a request, is about: an estimate that needs no vocabulary, for any model.

Vocabularies differ by provider and generation, few are public, and one of them weighs tens of megabytes. So tokens
are told from the kinds of characters instead. The rates were fitted to OpenAI's `o200k_base` over prose in fifteen
languages, code, Markdown and JSON; what other vocabularies cut finer stands with their dialect (`token_ratio`).
docs/llm.md has the measured error.
"""

import re
from collections.abc import Iterator

import msgspec

from llm_service.canonical.request import (
    Audio,
    CompletionRequest,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from shared.events import Usage

RATES: tuple[tuple[re.Pattern[str], float], ...] = tuple(
    (re.compile(pattern), rate)
    for pattern, rate in (
        (r"[A-Za-z]+", 0.9),  # a word
        (r"[A-Za-z]{8}", 0.75),  # and its length, where it is a long one
        (r"[0-9]{1,3}", 1.6),
        (r"[!-/:-@\[-`{-~]+", 0.95),
        (r"\n+|[ \t]{2,}", 0.5),
    )
)
"""Tokens for each match, of what is written in ASCII."""
WIDER_RATES: tuple[tuple[re.Pattern[str], float], ...] = tuple(
    (re.compile(pattern), rate)
    for pattern, rate in (
        ("[\u0080-\u024f\u1e00-\u1eff]", 0.15),  # Latin letters with marks: they cut a word in two
        ("[\u0370-\u03ff]", 0.42),  # Greek
        ("[\u0400-\u052f]", 0.3),  # Cyrillic
        ("[\u0530-\u08ff]", 0.43),  # Armenian, Hebrew, Arabic
        ("[\u0900-\u0fff]", 0.43),  # the scripts of India, Thai, Lao, Tibetan
        ("[\u1000-\u1dff\u2000-\u2fff\U00010000-\U0010ffff]", 1.5),  # rarer scripts, symbols, emoji
        ("[\u3000-\u30ff\uff00-\uffef]", 0.8),  # kana, and full-width forms
        ("[\u3400-\u9fff\uac00-\ud7af]", 0.75),  # Han, Hangul
    )
)
"""Tokens for each character of the other scripts."""
SAMPLED, SLICES = 32_768, 16
"""Characters that are looked at of a longer text, in so many slices: what is alike is counted once."""

PER_MESSAGE = 4
"""What surrounds each message."""
PER_REQUEST = 3
PER_TOOL = 8
IMAGE = 1_100
"""An image of unknown size: near the most that OpenAI (high detail: 85 + 170 for each 512 px tile,
https://platform.openai.com/docs/guides/images-vision#calculating-costs) and Gemini (258 a tile,
https://ai.google.dev/gemini-api/docs/tokens) count for a usual one, and Anthropic for one megapixel (width x height /
750, https://platform.claude.com/docs/en/build-with-claude/vision)."""
LOW_DETAIL_IMAGE = 85
PER_KILOBYTE_OF_AUDIO = 1.0
"""Of base64 at 32 kB a second of speech (16 kHz, 16 bit): Gemini counts 32 tokens a second, OpenAI 10."""
PER_KILOBYTE_OF_DOCUMENT = 20.0
"""Of base64: a page of text is 2,000 tokens and about 100 kB, where it is not a scan."""
UNSEEN_DOCUMENT = 2_000
MOST_TOKENS = 10**9
"""Of one kind, of one request."""
SHORTEST_FILE = 4_096
"""Characters from which a text without white space is taken for one in base64."""


WHOLE = frozenset({int, bool})
BYTES_PER_TOKEN_SAID = 4
"""Of an answer, in UTF-8, that nobody has counted: cheap enough to be kept while it is said."""


def said_tokens(size: int) -> int:
    """Tokens of an answer of `size` bytes, about."""
    return -(-size // BYTES_PER_TOKEN_SAID)


def size_of(text: str) -> int:
    """Bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def believable(usage: Usage) -> bool:
    """Whether the numbers can be those of one request. Providers may say anything, and budgets are charged by it."""
    told = msgspec.structs.astuple(usage)
    return WHOLE.issuperset(map(type, told)) and min(told) >= 0 and max(told) <= MOST_TOKENS


def text_tokens(text: str) -> int:
    """About so many tokens; the cost is bounded, whatever the length."""
    length = len(text)
    if length <= SAMPLED:
        return _count(text)
    size, step = SAMPLED // SLICES, (length - SAMPLED // SLICES) // (SLICES - 1)
    sampled = sum(_count(text[start : start + size]) for start in range(0, step * SLICES, step))
    return round(sampled * length / (size * SLICES))


def _count(text: str) -> int:
    counted = sum(len(pattern.findall(text)) * rate for pattern, rate in RATES)
    if not text.isascii():
        counted += sum(len(pattern.findall(text)) * rate for pattern, rate in WIDER_RATES)
    return -(-int(counted * 100) // 100)


def request_tokens(request: CompletionRequest) -> int:
    """Input tokens of a whole request, about."""
    tools = sum(PER_TOOL + json_tokens(tool) for tool in request.tools)
    schema = request.output_format.schema if request.output_format else None
    return PER_REQUEST + tools + json_tokens(schema or {}) + sum(map(message_tokens, request.messages))


def message_tokens(message: Message) -> int:
    return PER_MESSAGE + sum(part_tokens(part) for part in message.parts)


def part_tokens(part: Part) -> int:
    match part:
        case Text() | Refusal() | Reasoning():
            return text_tokens(part.text)
        case ToolCall():
            return PER_MESSAGE + text_tokens(part.name) + text_tokens(part.arguments)
        case ToolResult():
            return PER_MESSAGE + sum(part_tokens(one) for one in part.parts)
        case Image():
            return LOW_DETAIL_IMAGE if part.detail == "low" else IMAGE
        case Audio():
            return round(len(part.data) / 1024 * PER_KILOBYTE_OF_AUDIO)
        case Document():
            return _document_tokens(part)
        case Opaque():
            return json_tokens(part.native.value)


def _document_tokens(document: Document) -> int:
    if document.text is not None:
        return text_tokens(document.text)
    if document.data is not None:
        return round(len(document.data) / 1024 * PER_KILOBYTE_OF_DOCUMENT)
    return UNSEEN_DOCUMENT


def json_tokens(value: object) -> int:
    """Of names and values, without what only JSON needs; a file in it counts as an image."""
    words = list(_words(msgspec.to_builtins(value)))
    text = [word for word in words if not _is_file(word)]
    return text_tokens(" ".join(text)) + IMAGE * (len(words) - len(text))


def _is_file(word: str) -> bool:
    return len(word) > SHORTEST_FILE and not re.search(r"\s", word[:SHORTEST_FILE])


def _words(value: object) -> Iterator[str]:
    match value:
        case dict():
            for name, one in value.items():
                yield str(name)
                yield from _words(one)
        case list() | tuple():
            for one in value:
                yield from _words(one)
        case str():
            yield value
        case None | bool():
            pass
        case _:
            yield str(value)
