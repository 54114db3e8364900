"""What a request may use at most, and how much it may say where only so much is left."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from llm_service.accounting.estimates import (
    LONGEST_UNKNOWN,
    estimated_tokens,
    most_output_tokens,
    sets_output_limit,
    worst_cost,
)
from llm_service.catalogue.service import Target
from llm_service.context.fitting import SUMMARY_TOKENS
from llm_service.dialects import Dialect
from llm_service.limits.errors import PriceUnknown, Unit
from llm_service.limits.service import Payer, Worst
from shared.auth import Principal

MOST_TRIES = 2
"""Of one target, in which it may say something: policies have it asked once more where it broke off."""
USEFUL_ANSWER = 1024
"""Tokens: an answer that may not be as long as that is refused rather than cut short."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as far as it is paid for. `body` reads the client's, which only limits ask for; `model` as the client
    names it; `count` tells its tokens, about, as models of a provider that speaks a dialect count.

    `says` is whether tokens come back: none do for embeddings. Where it is `assured`, an attempt that is replaced may
    have said much. `summarizers` may be asked to summarize what a target has no room for.
    """

    principal: Principal
    request_id: str
    model: str
    stream: bool
    body: Callable[[], dict[str, Any]]
    count: Callable[[Dialect | None], int]
    says: bool = True
    assured: bool = False
    summarizers: tuple[Target, ...] = ()


class WorstCase:
    """One request's, whichever of `targets` answers. Raises PriceUnknown where a budget cannot be kept."""

    def __init__(self, asked: Asked, targets: Sequence[Target], payer: Payer) -> None:
        self._asked = asked
        self._targets = targets
        self._priced = payer.policy.budget is not None
        self._heard = estimated_tokens(asked.body())
        self.longest = max((_longest(target) for target in targets), default=LONGEST_UNKNOWN)
        self.least = min(USEFUL_ANSWER, self.longest)
        """Tokens of one choice that an answer is given room for, if it is given any."""
        self.open_ended = asked.says and not sets_output_limit(asked.body())
        """Whether the client leaves it to us how long an answer may be."""
        self.bounded = self.open_ended and (self._priced or payer.policy.tokens_per_minute is not None)
        """Whether no answer may be longer than what is reserved, and only we can see to that."""

    def at(self, most_output: int | None) -> Worst:
        """If no choice has more than so many tokens; as many as the client and the model allow, if that is None.

        The dearest target's; all of them twice where an answer is assured; a summary for each where one is made.
        """
        answers = [self._of(target, most_output) for target in self._targets]
        summaries = [self._priced_at(target, said=SUMMARY_TOKENS) for target in self._asked.summarizers]
        worst = [_sum(answers * MOST_TRIES) if self._asked.assured else _dearest(answers)]
        return _sum([*worst, *[_dearest(summaries)] * len(self._targets)])

    def fitting(self, unit: Unit, remaining: Decimal, *, below: int | None) -> int:
        """The most tokens of a choice that fit into what is left, fewer than `below`; never less than `least`."""
        low, high = self.least, (below or self.longest) - 1
        while low < high:
            middle = (low + high + 1) // 2
            worst = self.at(middle)
            if (worst.usd if unit == "usd" else worst.tokens) <= remaining:
                low = middle
            else:
                high = middle - 1
        return low

    def _of(self, target: Target, most_output: int | None) -> Worst:
        if not self._asked.says:
            return self._priced_at(target, said=0)
        longest = target.facts.max_output_tokens if most_output is None else min(most_output, _longest(target))
        return self._priced_at(target, said=most_output_tokens(self._asked.body(), longest=longest))

    def _priced_at(self, target: Target, *, said: int) -> Worst:
        usd = Decimal(0)
        if self._priced:
            if (prices := target.facts.prices) is None:
                raise PriceUnknown(target.name)
            usd = worst_cost(prices, input_tokens=self._heard, output_tokens=said)
        return Worst(tokens=self._heard + said, usd=usd)


def output_limit(target: Target, *, most: int) -> int | None:
    """What `target` is asked for at most where `most` tokens of a choice are reserved at the longest.

    None for a model that never says as much: it needs no limit, and might refuse one that it cannot reach. One of which
    that is not known is held to what is reserved for it.
    """
    longest = target.facts.max_output_tokens
    return None if longest is not None and longest <= most else min(most, _longest(target))


def _longest(target: Target) -> int:
    return target.facts.max_output_tokens or LONGEST_UNKNOWN


def _dearest(each: Sequence[Worst]) -> Worst:
    return Worst(
        tokens=max((one.tokens for one in each), default=0), usd=max((one.usd for one in each), default=Decimal(0))
    )


def _sum(each: Sequence[Worst]) -> Worst:
    return Worst(tokens=sum(one.tokens for one in each), usd=sum((one.usd for one in each), Decimal(0)))
