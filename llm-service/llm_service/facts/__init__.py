"""What is known of models: sizes, abilities, list prices. The shipped list is data; `models:` in llm.yaml overrides it.

`known_models.json` holds what providers publish, as of 2026-11-25, a model a line, by the provider's name; two
independent public compilations were compared, and a price on which they differ is left out. Unknown is None, never 0.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from shared.events import Usage

Modality: TypeAlias = Literal["text", "image", "audio", "document"]
Ability: TypeAlias = Literal["tools", "json_schema", "thinking", "embeddings"]
KNOWN_MODELS = Path(__file__).parent / "known_models.json"
MILLION = Decimal(1_000_000)
_VERSION = re.compile(r"(-latest|-preview|[-@]\d{4}-?\d{2}-?\d{2})$")
"""What a dated or pinned name has behind the model's own."""


class Prices(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """US dollars per million tokens. A kind without a price of its own costs as `input` or `output`."""

    input: Decimal
    output: Decimal = Decimal(0)
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    batch_input: Decimal | None = None
    batch_output: Decimal | None = None
    long: "LongPrices | None" = None

    def cost(self, usage: Usage) -> Decimal:
        """US dollars, exact."""
        if self.long is not None and usage.input_tokens > self.long.above:
            return self.long.applied(self).cost(usage)
        if not (usage.cached_input_tokens or usage.cache_write_tokens or usage.input_audio_tokens):
            return (usage.input_tokens * self.input + self._said(usage)) / MILLION  # nearly always
        written = max(0, usage.cache_write_tokens - usage.cache_write_1h_tokens)
        special = usage.cached_input_tokens + usage.cache_write_tokens + usage.input_audio_tokens
        tokens_at = (
            (max(0, usage.input_tokens - special), self.input),
            (usage.cached_input_tokens, self.cached_input),
            (written, self.cache_write),
            (usage.cache_write_1h_tokens, self.cache_write_1h or self.cache_write),
            (usage.input_audio_tokens, self.input_audio),
        )
        asked = sum((tokens * (self.input if price is None else price) for tokens, price in tokens_at), Decimal(0))
        return (asked + self._said(usage)) / MILLION

    def _said(self, usage: Usage) -> Decimal:
        """US dollars per million."""
        if not usage.output_audio_tokens:
            return usage.output_tokens * self.output
        spoken = self.output if self.output_audio is None else self.output_audio
        return (
            max(0, usage.output_tokens - usage.output_audio_tokens) * self.output + usage.output_audio_tokens * spoken
        )


class LongPrices(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the whole request costs where its input has more than `above` tokens."""

    above: int
    input: Decimal
    output: Decimal | None = None
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None

    def applied(self, prices: Prices) -> Prices:
        given = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        del given["above"]
        return msgspec.structs.replace(prices, **given, long=None)


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sizes are in tokens. `input` and `can` are None where nothing is known: then nothing is held against a model."""

    context_window: int | None = None
    max_output_tokens: int | None = None
    input: frozenset[Modality] | None = None
    can: frozenset[Ability] | None = None
    prices: Prices | None = None
    deprecated: date | None = None
    """From this day on the provider may refuse it."""


UNKNOWN = Facts()
FREE = Prices(input=Decimal(0))


@cache
def known_models() -> Mapping[str, Mapping[str, Facts]]:
    """By the provider's name, then the model's."""
    return msgspec.json.decode(KNOWN_MODELS.read_bytes(), type=dict[str, dict[str, Facts]])


def facts_of(model: str, *, section: str, overrides: Mapping[str, Facts]) -> Facts:
    """What is known of a provider's `model`; a dated name is known by its model's. `section` is the provider's name in
    the shipped list; what `overrides` has of the model wins, field by field."""
    shipped = known_models().get(section, {})
    found = shipped.get(model) or shipped.get(_VERSION.sub("", model)) or UNKNOWN
    override = overrides.get(model)
    if override is None:
        return found
    given = {name: value for name in Facts.__struct_fields__ if (value := getattr(override, name)) is not None}
    return msgspec.structs.replace(found, **given)
