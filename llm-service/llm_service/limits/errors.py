"""What a client is told whose limit is reached: 429, which the SDKs of every dialect know."""

from decimal import Decimal
from typing import Any, Literal, TypeAlias

from shared.errors import ContentTooLarge, Forbidden, TooManyRequests
from shared.money import plain

Unit: TypeAlias = Literal["usd", "tokens", "slots"]
"""What a limit counts."""


class LimitReached(TooManyRequests):
    """What could be used at most does not fit into what is left. `retry_after` in seconds."""

    code, title = "limit_reached", "A limit of the API key is reached"

    def __init__(self, *, unit: Unit, asked: Decimal, limit: Decimal, remaining: Decimal, retry_after: float) -> None:
        self.unit, self.remaining = unit, remaining
        told: dict[str, Any] = {
            "limit": plain(limit),
            "requested": plain(asked),
            "remaining": plain(max(Decimal(0), remaining)),
        }
        super().__init__(self.sentence.format(**told), retry_after=retry_after, **told)

    sentence = "At most {limit}; {remaining} are left and the request may use {requested}."


class BudgetExhausted(LimitReached):
    """Not 402: OpenAI's clients know a spent quota as 429 `insufficient_quota`, and no client retries a 402."""

    code, title = "budget_exhausted", "The budget of the API key is exhausted"
    sentence = (
        "The budget is {limit} USD; {remaining} USD are left, and this request may cost up to {requested} USD. "
        "A lower limit on output tokens lowers what it may cost."
    )


class TokensPerMinute(LimitReached):
    code, title = "tokens_per_minute", "The API key may use no more tokens in this minute"
    sentence = (
        "The limit is {limit} tokens per minute; {remaining} are left, and this request may use up to {requested}. "
        "A lower limit on output tokens lowers that."
    )


class ConcurrentRequests(LimitReached):
    code, title = "concurrent_requests", "The API key has too many requests under way"
    sentence = "The limit is {limit} requests at a time."


class ExceedsLimit(ContentTooLarge):
    """A whole limit is smaller than what could be used at most. No waiting helps, so it is nothing that SDKs repeat.

    OpenAI says 429 of such requests, which its own SDKs repeat in vain; Anthropic has 413, `request_too_large`.
    """

    code, title = "request_exceeds_limit", "The request may use more than a limit of the API key has in all"

    def __init__(self, name: str, *, unit: Unit, asked: Decimal, limit: Decimal) -> None:
        """`name` of the limit, as API keys have it."""
        self.unit, self.remaining = unit, limit
        super().__init__(
            f"The limit {name} of the API key is {plain(limit)} in all, and this request may use up to {plain(asked)}. "
            "A shorter request, or a lower limit on output tokens, needs less.",
            exceeded=name,
            limit=plain(limit),
            requested=plain(asked),
        )


class PriceUnknown(Forbidden):
    """A budget cannot be kept where nobody knows what is spent."""

    code, title = "price_unknown", "The price of the model is not known"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The API key has a budget, and the price of {model!r} is not known: an operator can set it.", param="model"
        )
