"""What is done about each kind of failure, in one table."""

from typing import Literal, NamedTuple

from llm_service.errors import Kind

Next = Literal["any", "larger", "none"]
"""Which targets may be tried next: any, those with a larger context window, none."""


class Policy(NamedTuple):
    """What is done about one kind of failure."""

    next: Next
    retry: bool = False
    """Try the same target once more first, after a moment."""
    rotate: bool = False
    """Try the same target with another of its keys first."""


POLICIES: dict[Kind, Policy] = {
    Kind.UNREACHABLE: Policy("any", retry=True),
    Kind.SERVER: Policy("any", retry=True),
    Kind.OVERLOADED: Policy("any", retry=True),
    Kind.TRUNCATED: Policy("any", retry=True),
    Kind.TIMEOUT: Policy("any"),  # silence is not asked twice
    Kind.INVALID_ANSWER: Policy("any"),
    Kind.NO_ANSWER: Policy("any", retry=True),  # the model lost its way, perhaps in this request alone
    Kind.RATE_LIMITED: Policy("any", rotate=True),
    Kind.CREDENTIALS: Policy("any", rotate=True),
    Kind.CIRCUIT_OPEN: Policy("any"),
    Kind.MODEL_UNKNOWN: Policy("any"),
    Kind.NOT_EXPRESSIBLE: Policy("any"),  # another's words may have room for it
    Kind.BAD_REQUEST: Policy("none"),  # it would be as bad elsewhere
    Kind.CONTEXT_OVERFLOW: Policy("larger"),
    Kind.TOO_LARGE: Policy("any", rotate=True),  # for that account and model: others allow more, and the key is well
    Kind.CONTENT_FILTER: Policy("none"),  # a refusal is not routed around, unless the route says so
}

RETRY_AFTER = (0.05, 0.25)
"""Seconds before the same target is tried again: a random time in between, so that many do not come back at once."""
LIMITED_FOR = 1.0
"""Seconds for which a key rests after a 429 that names no time."""
REFUSED_FOR = 60.0
"""Seconds for which a key rests that the provider does not accept."""
LONGEST_REST = 600.0
"""Seconds; whatever a provider's Retry-After says."""
